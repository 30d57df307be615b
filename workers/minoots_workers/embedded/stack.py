"""The embedded stack as a whole: settings and ports in, running children and their addresses out."""

from __future__ import annotations

import asyncio
import os
import socket
import sysconfig
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from minoots_platform.settings import Settings, to_environment, with_overrides
from minoots_platform.vault import load_or_create_dev_key

from .child import Child, Spec
from .data_dir import DataDir
from .faults import CHILD_FAILED, StackFault
from .handshake import Handshake
from .ports import LOOPBACK, free_ports, listen, listen_anywhere, require_reachable
from .supervisor import Supervisor
from .temporal_server import TemporalServer, find_binary

READY_WITHIN: Final = 60.0
"""Seconds to become ready: a busy machine takes ten times as long as a quiet one."""
_CAPTURING_WITHIN: Final = 30.0
"""Seconds from then on in which capturing has to begin."""
_WORKERS: Final = {"core": ("core", "files"), "io": ("io",), "jobs": ("llm", "sandbox")}
"""Worker processes, and the queues of each."""
_LATER: Final = frozenset({"worker-jobs", "watch"})
"""Children that no timer waits for: started when the rest is ready, which they would slow down."""
_LOOPBACK_NETWORKS: Final = ("127.0.0.0/8", "::1/128")


@dataclass(frozen=True)
class Addresses:
    """Where everything is."""

    gateway: str
    docs: str
    temporal_ui: str | None
    temporal_address: str
    metrics: str
    data_dir: str


@dataclass(frozen=True)
class Ready:
    """A stack that is ready."""

    addresses: Addresses
    pids: dict[str, int | None]
    ready_after_s: float
    capture_problem: str | None = None
    """Why nobody captures, although that is enabled."""

    def as_dict(self) -> dict[str, Any]:
        """Return it for programs."""
        return {
            **asdict(self.addresses),
            "pids": self.pids,
            "ready_after_s": round(self.ready_after_s, 3),
            "capture_problem": self.capture_problem,
        }


class Stack:
    """An embedded stack. Whatever can be refused is refused before anything starts."""

    def __init__(
        self, settings: Settings, data_dir: DataDir, temporal_address: str | None, *, verbose: bool
    ) -> None:
        self._began = time.monotonic()
        self._data_dir = data_dir
        self._verbose = verbose
        self._listener = listen(settings.gateway.host, settings.gateway.port, "--port")
        self._claims = ExitStack()
        server = None
        if temporal_address is None:
            server = _server(settings, data_dir.path, self._claims)
            temporal_address = f"{LOOPBACK}:{server.port}"
        else:
            require_reachable(temporal_address)
        # Several workers: workflow code in threads would make the sending of webhooks wait for Python's lock,
        # and so would models and programs.
        # Listened on from here on and inherited, like the gateway's: a port that was only free when it was
        # looked at may be another's when the worker starts.
        self._metrics = {name: listen_anywhere() for name in _WORKERS}
        self.settings = _for_children(
            settings, data_dir.path, _url_of(self._listener), temporal_address, self._metrics.values()
        )
        self.addresses = _addresses(self.settings, self._listener, server)
        self._environment = to_environment(self.settings)
        self._temporal = None if server is None else self._child_temporal(server)
        self._workers = [self._child_worker(name, listener) for name, listener in self._metrics.items()]
        self._gateway = self._child_gateway()
        self._capture = Handshake() if self.settings.capture.enabled else None
        self._watch = None if self._capture is None else self._child_watch(self._capture)
        ordered = [self._temporal, *self._workers, self._gateway, self._watch]
        self._children = [child for child in ordered if child is not None]
        self.supervisor = Supervisor(self._children)

    async def start(self) -> Ready:
        """Start every child and wait until timers can be set and fired, and capturing has begun.

        Raises:
            StackFault: when one fails, with its last lines.
        """
        # All at once: the gateway makes the tables, the worker waits for them and for the server.
        await self._start(child for child in self._children if child.spec.name not in _LATER)
        if not await self._until(lambda: _answers(f"{self.addresses.gateway}/ready"), READY_WITHIN):
            raise StackFault(
                CHILD_FAILED,
                f"not ready after {READY_WITHIN:g} s",
                f"Look into {self._data_dir.logs}, and at {self.addresses.gateway}/ready.",
            )
        await self._start(child for child in self._children if child.spec.name in _LATER)
        problem = await self._capturing()
        pids = {child.spec.name: child.pid for child in self._children}
        return Ready(
            self.addresses, {"supervisor": os.getpid(), **pids}, time.monotonic() - self._began, problem
        )

    async def _start(self, children: Iterable[Child]) -> None:
        for child in children:
            await self.supervisor.start(child)

    async def _capturing(self) -> str | None:
        """Wait until capturing has begun; return why it has not, for the rest goes on."""
        capture, watch = self._capture, self._watch
        if capture is None or watch is None:
            return None
        await self._until(lambda: capture.begun() or watch.given_up, _CAPTURING_WITHIN)
        if capture.begun():
            return None
        why = capture.failed or "it has not begun yet."
        return f"nobody captures: {why} The log is {self._data_dir.logs / 'watch.log'}"

    async def close(self) -> None:
        """Drain and stop everything."""
        await self.supervisor.shut_down()
        for listener in (self._listener, *self._metrics.values()):
            listener.close()
        self._claims.close()
        if self._capture is not None:
            self._capture.close()

    async def _until(self, check: Callable[[], bool], within: float) -> bool:
        """Wait until ``check`` holds; return whether it does. A stop or a child that keeps dying ends it."""
        running = asyncio.create_task(self.supervisor.run())
        deadline = time.monotonic() + within
        try:
            while not await asyncio.to_thread(check):
                if running.done():
                    running.result()
                    raise Interrupted
                if time.monotonic() > deadline:
                    return False
                await asyncio.sleep(0.02)
            return True
        finally:
            running.cancel()

    def _child_worker(self, name: str, metrics: socket.socket) -> Child:
        descriptor = metrics.fileno()
        queues = [argument for queue in _WORKERS[name] for argument in ("--queue", queue)]
        command = [_minoots(), "worker", *queues, "--metrics-fd", str(descriptor)]
        spec = Spec(f"worker-{name}", command, self._environment, pass_fds=(descriptor,))
        return Child(spec, self._data_dir.logs, verbose=self._verbose)

    def _child_gateway(self) -> Child:
        descriptor = self._listener.fileno()
        command = [_minoots(), "gateway", "--fd", str(descriptor)]
        spec = Spec("gateway", command, self._environment, pass_fds=(descriptor,))
        return Child(spec, self._data_dir.logs, verbose=self._verbose)

    def _child_watch(self, handshake: Handshake) -> Child:
        told = handshake.descriptor
        command = [_minoots(), "watch", "--ready-fd", str(told)]
        spec = Spec("watch", command, self._environment, pass_fds=(told,), needed=False)
        return Child(spec, self._data_dir.logs, verbose=self._verbose)

    def _child_temporal(self, server: TemporalServer) -> Child:
        spec = Spec("temporal", server.command(), on_start=self._data_dir.note_server)
        return Child(spec, self._data_dir.logs, verbose=self._verbose)


class Interrupted(Exception):
    """A stop was asked for while the stack was starting."""


def _minoots() -> str:
    return str(Path(sysconfig.get_path("scripts")) / "minoots")


def _server(settings: Settings, data_dir: Path, claims: ExitStack) -> TemporalServer:
    binary = find_binary(settings.temporal.binary)
    port, ui_port, http_port, metrics_port = free_ports(
        [
            (settings.temporal.port, "--temporal-port"),
            (settings.temporal.ui_port, "--ui-port"),
            (0, ""),
            (0, ""),
        ],
        claims,
    )
    return TemporalServer(binary, data_dir, port, ui_port, http_port, metrics_port)


def _for_children(
    settings: Settings, data_dir: Path, gateway: str, temporal_address: str, metrics: Iterable[socket.socket]
) -> Settings:
    """Return the settings of the children: those of the user, with what makes a development stack of them."""
    overrides: dict[str, Any] = {
        "environment": "dev",
        "data_dir": str(data_dir),
        "gateway": {"allow_dev_tenant": True, "public_url": str(settings.gateway.public_url or gateway)},
        "temporal": {"address": temporal_address},
        "telemetry": {"worker_metrics_urls": [f"{_url_of(listener)}/metrics" for listener in metrics]},
        "delivery": {
            "allowed_networks": sorted({*map(str, settings.delivery.allowed_networks), *_LOOPBACK_NETWORKS})
        },
    }
    if not settings.secrets.master_keys:
        overrides["secrets"] = {"master_keys": [load_or_create_dev_key(data_dir)]}
    return with_overrides(settings, overrides)


def _addresses(settings: Settings, listener: socket.socket, server: TemporalServer | None) -> Addresses:
    gateway = _url_of(listener)
    return Addresses(
        gateway=gateway,
        docs=f"{gateway}/docs",
        temporal_ui=f"http://{LOOPBACK}:{server.ui_port}" if server else None,
        temporal_address=settings.temporal.address,
        metrics=f"{gateway}/metrics",
        data_dir=str(settings.data_dir),
    )


def _url_of(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - our own address
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
