"""A program that is called as Firecracker is: takes its requests on a socket, and plays its machine's guest.

It holds every request against the facts of the published API (`firecracker-api.json`) and answers what does
not fit as Firecracker does, with 400; it starts nothing. What it was asked goes into the file that
`STAND_IN_LOG` names; `STAND_IN_DOES` makes it misbehave. Its guest knows `echo`, `sleep` and `knock`.
"""

from __future__ import annotations

import argparse
import http.server
import json
import os
import socket
import socketserver
import struct
import sys
import threading
from pathlib import Path
from typing import Any

from jsonschema import Draft4Validator

API = json.loads(Path(__file__).with_name("firecracker-api.json").read_text())
DOES = os.environ.get("STAND_IN_DOES", "")
HEADER = struct.Struct("<IIB3x")


def faults(method: str, path: str, body: object) -> str:
    """Return what of a request does not fit the published API; nothing when all does."""
    known = path if path in API["paths"] else "/drives/{drive_id}" if path.startswith("/drives/") else ""
    about = API["paths"].get(known, {}).get(method.lower())
    if about is None:
        return f"there is no {method} {path}"
    if "body" not in about:
        return "" if body is None else f"{method} {path} takes no body"
    definitions = {
        # Firecracker refuses what it does not know.
        name: {**one, "additionalProperties": False} if one["type"] == "object" else one
        for name, one in API["definitions"].items()
    }
    schema = {"$ref": f"#/definitions/{about['body']}", "definitions": definitions}
    found = [error.message for error in Draft4Validator(schema).iter_errors(body)]
    if known != path and isinstance(body, dict) and body.get("drive_id") != path.rpartition("/")[2]:
        found.append("the drive of the path is another than that of the body")
    return "; ".join(found)


class Machine:
    """What it was told of the machine that it does not run."""

    def __init__(self) -> None:
        self.told: dict[str, Any] = {}
        self.log = Path(os.environ["STAND_IN_LOG"])

    def take(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        """Answer one request."""
        with self.log.open("a") as log:
            log.write(json.dumps([method, path, body]) + "\n")
        wrong = faults(method, path, body)
        if wrong:
            return 400, {"fault_message": wrong}
        if DOES == f"refuse {path}":
            return 400, {"fault_message": "not today"}
        if method == "GET":
            return 200, {"firecracker_version": "1.17.0"} if path == "/version" else {}
        self.told[path] = body
        if path == "/actions":
            return self._start()
        return 204, None

    def _start(self) -> tuple[int, Any]:
        missing = [one for one in ("/boot-source", "/machine-config", "/vsock") if one not in self.told]
        source = self.told.get("/boot-source", {})
        with Path(source.get("kernel_image_path", "/")).open("rb") as kernel:
            if missing or kernel.read(4) != b"\x7fELF":
                return 400, {"fault_message": f"cannot start; missing: {missing}"}
        if DOES != "stay dark":
            threading.Thread(target=self._guest, args=(f"{self.told['/vsock']['uds_path']}_1024",)).start()
        return 204, None

    def _guest(self, way: str) -> None:
        print("a kernel says hello", flush=True)
        if DOES == "die":
            os._exit(7)
        with socket.socket(socket.AF_UNIX) as host:
            host.connect(way)
            Guest(host, way).serve()
        # As the real guest does: nobody speaks to it any more.
        os._exit(0)


class Guest:
    """The other end of the wire of `minoots_activities.vms.frames`."""

    def __init__(self, host: socket.socket, way: str) -> None:
        self._host = host
        self._way = way

    def serve(self) -> None:
        """Answer until the host is gone."""
        self._say("H", 4)
        while len(header := self._read(HEADER.size)) == HEADER.size:
            length, run, kind = HEADER.unpack(header)
            payload = self._read(length)
            if kind == ord("B"):
                assert length == 104, length
                self._say("Y", 0)
            elif kind == ord("R"):
                self._run(run, payload.decode().split("\0")[3:])
            elif kind == ord("K"):
                self._exit(run, signal=9)

    def _run(self, run: int, command: list[str]) -> None:
        self._say("S", run)
        if command[0] == "echo":
            self._say("O", run, command[1].encode() + b"\n")
        if command[0] == "knock":
            with socket.socket(socket.AF_UNIX) as other:
                said = b"in\n" if other.connect_ex(self._way) == 0 else b"shut\n"
            self._say("O", run, said)
        if command[0] != "sleep":
            self._exit(run)

    def _exit(self, run: int, signal: int = 0) -> None:
        self._say("X", run, struct.pack("<iiIII", -1 if signal else 0, signal, 0, 1, 1))

    def _say(self, kind: str, run: int, payload: bytes = b"") -> None:
        self._host.sendall(HEADER.pack(len(payload), run, ord(kind)) + payload)

    def _read(self, length: int) -> bytes:
        data = b""
        while len(data) < length and (piece := self._host.recv(length - len(data))):
            data += piece
        return data


class Api(http.server.BaseHTTPRequestHandler):
    """Its HTTP."""

    protocol_version = "HTTP/1.1"
    machine: Machine

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        body = json.loads(self.rfile.read(length)) if length else None
        status, answer = self.machine.take(self.command, self.path, body)
        data = b"" if answer is None else json.dumps(answer).encode()
        self.send_response(status)
        if answer is not None:
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_PUT = do_PATCH = _answer

    def address_string(self) -> str:
        """Name the caller, who has no address."""
        return "host"

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing: it would be in the console."""


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """On a socket of the file system."""

    daemon_threads = True


def main() -> None:
    """Run as Firecracker would."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--api-sock", required=True)
    parser.add_argument("--id", required=True)
    options = parser.parse_args()
    if DOES == "not begin":
        sys.exit("no KVM here")
    Api.machine = Machine()
    with Server(options.api_sock, Api) as server:
        server.serve_forever()


if __name__ == "__main__":
    main()
