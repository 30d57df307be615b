"""The way from the host to the guest of a sandbox: lines of JSON, and descriptors, over one socket.

What comes from the other side is a stranger's: a line that is too long or no JSON ends the channel, and so do
more answers than anybody takes, or asked for; a descriptor that is no regular file of a disk or of memory is
refused, and nothing that is said is used as a path here.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import socket
import stat
import sys
from collections import deque
from collections.abc import Sequence
from typing import Any, Final

from .port import gone

_MOST_LINE: Final = 1024 * 1024
_MOST_FILES: Final = 16
"""Descriptors that may have come without being asked for."""
_MOST_ANSWERS: Final = 64
"""Answers to one request that may wait to be taken: the longest listing has fewer."""
_MOST_UNASKED: Final = 16 * 1024 * 1024
"""Bytes of answers that nobody waits for: some come late, and a program could send them for ever."""
_OF_THE_KERNEL: Final = frozenset(
    {
        0x9FA0,  # proc
        0x62656572,  # sysfs
        0x0027E0EB,  # cgroup
        0x63677270,  # cgroup, version 2
        0x64626720,  # debugfs
        0x74726163,  # tracefs
        0x73636673,  # securityfs
        0x62656570,  # configfs
    }
)
"""File systems of which the files are no files: the kernel does what is written to them."""
_HELLO: Final = -1
_PATIENCE: Final = 30.0
"""Seconds that an answer may take: the machine may be busy, but nothing asked here takes long."""


class Channel:
    """One socket and who waits for what comes from it."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._sock.setblocking(False)
        self._buffer = b""
        self._fds: deque[int] = deque()
        self._wanted: set[int] = set()
        """Requests whose answer comes with a descriptor, also when nobody waits for it any more."""
        self._given: dict[int, int] = {}
        self._waiting: dict[int, asyncio.Queue[dict[str, Any] | None]] = {}
        self._number = 0
        self._unasked = 0
        self._unread = False
        self.ended = asyncio.Event()
        asyncio.get_running_loop().add_reader(sock, self._readable)
        self._hello: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue(_MOST_ANSWERS)
        self._waiting[_HELLO] = self._hello

    @property
    def lives(self) -> bool:
        """Whether the other side is there: looked at now, for nobody may have been told of its end yet."""
        if not self.ended.is_set():
            try:
                if not self._sock.recv(1, socket.MSG_PEEK):
                    self._end()
            except BlockingIOError:
                pass
            except OSError as error:
                self._failed(error)
        return not self.ended.is_set()

    async def ready(self, within: float) -> bool:
        """Wait for the guest's first word; ``False`` when it does not come."""
        try:
            async with asyncio.timeout(within):
                return await self._hello.get() is not None
        except TimeoutError:
            return False
        finally:
            self.forget(_HELLO)

    def open(self, request: dict[str, Any], fds: Sequence[int] = ()) -> Asked:
        """Send a request and return where its answers come.

        Raises:
            OutcomeUnknown: nobody is there any more. A request that raises here is done by nobody: the other
                side has not got all of its line.
        """
        if self.ended.is_set():
            raise gone()
        self._number += 1
        number = self._number
        answers: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue(_MOST_ANSWERS)
        self._waiting[number] = answers
        data = json.dumps({"n": number, "fds": len(fds), **request}).encode() + b"\n"
        try:
            # The buffer of the socket is larger than a request may be, and the guest reads at once.
            sent = socket.send_fds(self._sock, [data], list(fds)) if fds else self._sock.send(data)
        except OSError as error:
            self._end()
            raise gone() from error
        if sent != len(data):
            self._end()
            raise gone()
        return Asked(self, number, answers)

    async def ask(self, request: dict[str, Any], fds: Sequence[int] = ()) -> dict[str, Any]:
        """Send a request and return its one answer.

        Raises:
            OutcomeUnknown: nobody is there any more.
        """
        asked = self.open(request, fds)
        try:
            return await asked.next(_PATIENCE)
        finally:
            asked.close()

    async def ask_file(self, request: dict[str, Any]) -> tuple[dict[str, Any], int]:
        """Send a request for a file; return its answer and the descriptor that came with it.

        The caller closes that; there is none where the answer has an ``errno``. Whoever is called off leaves
        none behind: the next one who asks would have the file of this one.

        Raises:
            OutcomeUnknown: nobody is there any more, or what came is no regular file.
        """
        asked = self.open(request)
        self._wanted.add(asked.number)
        try:
            answer = await asked.next(_PATIENCE)
            return answer, -1 if "errno" in answer else self._file_of(asked.number)
        finally:
            asked.close()

    def _file_of(self, number: int) -> int:
        fd = self._given.pop(number, None)
        if fd is None:
            raise gone()
        if not stat.S_ISREG(os.fstat(fd).st_mode) or _is_the_kernels(fd):
            os.close(fd)
            raise gone()
        return fd

    def take_listener(self) -> socket.socket:
        """Return the socket that came with an answer and listens on a loopback; the caller closes it.

        Raises:
            OutcomeUnknown: there is none, or it is something else.
        """
        if not self._fds:
            raise gone()
        fd = self._fds.popleft()
        if not stat.S_ISSOCK(os.fstat(fd).st_mode):
            os.close(fd)
            raise gone()
        sock = socket.socket(fileno=fd)
        try:
            listens = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
            usual = (sock.family, sock.type) == (socket.AF_INET, socket.SOCK_STREAM)
            if not (usual and listens and sock.getsockname()[0] == "127.0.0.1"):
                raise gone()
        except BaseException:
            sock.close()
            raise
        sock.setblocking(False)
        return sock

    def forget(self, number: int) -> None:
        """Wait no longer for answers to a request."""
        self._waiting.pop(number, None)
        fd = self._given.pop(number, None)
        if fd is not None:
            os.close(fd)

    def close(self) -> None:
        """Let the socket go: the guest ends."""
        self._end()
        while self._fds:
            os.close(self._fds.popleft())
        while self._given:
            os.close(self._given.popitem()[1])
        self._sock.close()

    def _readable(self) -> None:
        try:
            flags = getattr(socket, "MSG_CMSG_CLOEXEC", 0)
            data, fds, _, _ = socket.recv_fds(self._sock, 65536, 16, flags)
        except BlockingIOError:
            return
        except OSError as error:
            self._failed(error)
            return
        self._fds += fds
        self._buffer += data
        if not data or len(self._buffer) > _MOST_LINE or len(self._fds) > _MOST_FILES:
            self._end()
            return
        *lines, self._buffer = self._buffer.split(b"\n")
        for line in lines:
            try:
                message = json.loads(line)
                number = _number_of(message)
                waiting = self._waiting.get(number)
                if number in self._wanted:
                    self._wanted.discard(number)
                    if "errno" not in message and self._fds:
                        self._given[number] = self._fds.popleft()
                        if waiting is None:
                            self.forget(number)
                if waiting is not None:
                    waiting.put_nowait(message)
                    continue
                self._unasked += len(line)
                if self._unasked > _MOST_UNASKED:
                    raise ValueError("nobody has asked for so much")
            except (ValueError, RecursionError, asyncio.QueueFull):
                self._end()
                return

    def was_read(self, number: int) -> bool:
        """Tell whether the other side may have read a request: not so when it ended with that unread."""
        return not (self._unread and number == self._number)

    def _failed(self, error: OSError) -> None:
        # The kernel resets a socket that is closed with something unread in it. What was sent last is unread
        # then, or its end is, and nobody does half a line.
        self._unread = isinstance(error, ConnectionResetError)
        self._end()

    def _end(self) -> None:
        if not self.ended.is_set():
            self.ended.set()
            asyncio.get_running_loop().remove_reader(self._sock)
            for waiting in self._waiting.values():
                if waiting.full():
                    waiting.get_nowait()
                waiting.put_nowait(None)


def _is_the_kernels(fd: int) -> bool:
    """Tell whether the kernel does what is written to a file: for us it may do what it refuses a program."""
    if sys.platform != "linux":
        return False
    # Its first word is the kind, on all machines that have sandboxes; the whole of it is 120 bytes.
    about = ctypes.create_string_buffer(512)
    if ctypes.CDLL(None).fstatfs(fd, about) != 0:
        return True
    kind = int.from_bytes(about.raw[: ctypes.sizeof(ctypes.c_long)], sys.byteorder)
    return kind & 0xFFFFFFFF in _OF_THE_KERNEL


def _number_of(message: object) -> int:
    """Return to which request a message belongs.

    Raises:
        ValueError: to none that could be.
    """
    if not isinstance(message, dict):
        raise ValueError("expected an object")
    number = _HELLO if "ready" in message else message.get("n")
    if type(number) is not int:
        raise ValueError("expected the number of a request")
    return number


class Asked:
    """A request that was sent."""

    def __init__(self, channel: Channel, number: int, answers: asyncio.Queue[dict[str, Any] | None]) -> None:
        self._channel = channel
        self.number = number
        self._answers = answers

    async def next(self, within: float | None = None) -> dict[str, Any]:
        """Return the next answer.

        Raises:
            OutcomeUnknown: nobody is there any more, or none came ``within`` so many seconds.
        """
        try:
            async with asyncio.timeout(within):
                answer = await self._answers.get()
        except TimeoutError:
            raise gone() from None
        if answer is None:
            raise gone()
        return answer

    @property
    def was_read(self) -> bool:
        """Whether the other side may have read it; known when nobody is there any more."""
        return self._channel.was_read(self.number)

    def close(self) -> None:
        """Wait for no more of them."""
        self._channel.forget(self.number)
