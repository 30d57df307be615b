"""The guest: runs inside a sandbox, starts programs there and opens files for the host.

Stands alone: it is copied into the sandbox and run by whatever Python 3.9 or newer the machine has. Whoever
asks for a sandbox waits for its imports, so it has only modules that are written in C (``posix`` for ``os``,
and so on); those in Python take longer than all the rest. It is no border: a program may do whatever it likes
to it, so the host believes nothing that it says beyond "this program ended so". It is one file, however
long, for it is one that is carried in.

It speaks lines of JSON over the socket whose descriptor, or path, is its first argument. A request says in
``fds`` how many descriptors come with it. When the socket ends, everything in the sandbox ends.
"""

from __future__ import annotations

import errno
import fcntl
import resource
import select
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    import signal
    import socket
    from collections.abc import Callable, Iterator
    from types import FrameType
    from typing import Any

    read: Callable[[str], Any]
    quoted: Callable[[str], str]
else:
    import _signal as signal
    import _socket as socket
    import posix as os

    try:
        from _json import encode_basestring_ascii as quoted
        from _json import make_scanner
    except ImportError:
        # Another Python than CPython, or one that has them no more.
        from json import dumps as quoted
        from json import loads as read
    else:

        class Reading:
            """How JSON is read; the names are those that the reader looks for."""

            strict = True
            object_hook = object_pairs_hook = None
            parse_float, parse_int, parse_constant = float, int, float

        def read(line):
            """Return what a line of JSON says; it begins at once."""
            return make_scanner(Reading)(line, 0)[0]


MOST_LINE = 1024 * 1024
MOST_ENTRIES_A_LINE = 200
MOST_FDS = 16
KIND, REGULAR = 0o170000, 0o100000
"""Of a file's mode, as `stat` has them."""


class Guest:
    """One sandbox's inside.

    Args:
        sock: the way to the host.
        root: the working folder.
        first: whether this is the first process of a namespace of processes.
    """

    def __init__(self, sock: socket.socket, root: str, first: bool) -> None:
        self.sock = sock
        self.root = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self.path = root
        self.first = first
        self.buffer = b""
        self.fds: list[int] = []
        self.running: int | None = None
        self.number: int | None = None

    def serve(self) -> None:
        """Answer until the host is gone."""
        woken, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC) if hasattr(os, "pipe2") else os.pipe()
        os.set_blocking(wake, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.signal(signal.SIGTERM, self.leave)
        poller = select.poll()
        poller.register(self.sock, select.POLLIN)
        poller.register(woken, select.POLLIN)
        self.send({"ready": os.getpid()})
        while True:
            for fd, _ in poller.poll():
                if fd == woken:
                    os.read(woken, 4096)
                    self.reap()
                elif not self.receive():
                    self.leave()

    def leave(self, number: int = 0, frame: FrameType | None = None) -> None:
        """End everything."""
        self.end_all()
        os._exit(0)

    def receive(self) -> bool:
        """Take in what has come; ``False`` when the host is gone."""
        try:
            room = socket.CMSG_SPACE(MOST_FDS * 4)
            data, others, _, _ = self.sock.recvmsg(65536, room)
        except OSError:
            return False
        fds = list(numbers(others))
        for fd in fds:
            os.set_inheritable(fd, False)
        self.fds += fds
        if not data:
            return False
        self.buffer += data
        if len(self.buffer) > MOST_LINE:
            return False
        while b"\n" in self.buffer:
            line, self.buffer = self.buffer.split(b"\n", 1)
            request = read(line.decode())
            count = request.get("fds", 0)
            fds, self.fds = self.fds[:count], self.fds[count:]
            self.answer(request, fds)
        return True

    def answer(self, request: dict[str, Any], fds: list[int]) -> None:
        """Do what is asked and say so."""
        number = request["n"]
        try:
            getattr(self, "do_" + request["do"])(request, fds)
        except OSError as error:
            self.send({"n": number, "errno": error.errno, "error": os.strerror(error.errno or 0)})
        except RecursionError:
            self.send({"n": number, "errno": errno.ELOOP, "error": "folders are nested too deep"})
        finally:
            for fd in fds:
                os.close(fd)

    def send(self, message: dict[str, Any], fds: list[int] | None = None) -> None:
        """Tell the host."""
        data = written(message).encode() + b"\n"
        # What they are is told in the machine's own order of bytes.
        raw = b"".join(fd.to_bytes(4, sys.byteorder) for fd in fds or ())
        others = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, raw)] if raw else []
        while data:
            data, others = data[self.sock.sendmsg([data], others) :], []

    def do_exec(self, request: dict[str, Any], fds: list[int]) -> None:
        """Start a program with the three descriptors that came along."""
        if self.running is not None:
            raise OSError(errno.EBUSY, "")
        failed, failing = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(failed)
            try:
                self.become(request, fds)
            except OSError as error:
                os.write(failing, str(error.errno or errno.EIO).encode())
            except BaseException:
                os.write(failing, str(errno.EINVAL).encode())
            finally:
                os._exit(127)
        os.close(failing)
        told = os.read(failed, 32)
        os.close(failed)
        if told:
            os.waitpid(pid, 0)
            raise OSError(int(told), "")
        self.running, self.number = pid, request["n"]
        self.send({"n": request["n"], "pid": pid})
        # It may have ended before we knew its number.
        self.reap()

    def become(self, request: dict[str, Any], fds: list[int]) -> None:
        """Become the program. Only in the child."""
        os.setsid()
        signal.set_wakeup_fd(-1)
        for one in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGPIPE):
            signal.signal(one, signal.SIG_DFL)
        if not self.first:
            die_with_parent()
        os.fchdir(self.root)
        if request.get("cwd"):
            os.chdir(request["cwd"])
        # Those that came are moved out of the way of 0, 1 and 2 first.
        for place, fd in enumerate([fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10) for fd in fds]):
            os.dup2(fd, place)
        for name, most in request["rlimits"].items():
            limit(getattr(resource, name), most)
        execute(request["command"], request["env"])

    def do_end(self, request: dict[str, Any], fds: list[int]) -> None:
        """End whatever runs."""
        self.end_all()
        if self.running is not None:
            # Its end is told before this is answered: then another program may begin.
            os.waitid(os.P_PID, self.running, os.WEXITED | os.WNOWAIT)
            self.reap()
        self.send({"n": request["n"]})

    def do_pause(self, request: dict[str, Any], fds: list[int]) -> None:
        """Stop whatever runs, or let it go on."""
        self.signal_all(signal.SIGCONT if request["off"] else signal.SIGSTOP)
        self.send({"n": request["n"]})

    def do_listen(self, request: dict[str, Any], fds: list[int]) -> None:
        """Listen on this network's own loopback, and hand over the socket: the host takes what comes."""
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            sock.bind(("127.0.0.1", 0))
            sock.listen(64)
            self.send({"n": request["n"]}, [sock.fileno()])
        finally:
            sock.close()

    def do_open(self, request: dict[str, Any], fds: list[int]) -> None:
        """Open a file below the working folder and hand it over."""
        writing = request["mode"] == "w"
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC if writing else os.O_RDONLY
        fd = self.open_beneath(request["path"], flags, make=writing)
        try:
            if os.fstat(fd).st_mode & KIND != REGULAR:
                raise OSError(errno.EINVAL, "")
            if writing:
                os.fchmod(fd, 0o755 if request.get("executable") else 0o644)
            self.send({"n": request["n"]}, [fd])
        finally:
            os.close(fd)

    def open_beneath(self, path: str, flags: int, *, make: bool) -> int:
        """Open ``path`` without following a link anywhere on the way."""
        *folders, name = path.split("/")
        at = os.dup(self.root)
        try:
            for folder in folders:
                if make:
                    try:
                        os.mkdir(folder, 0o755, dir_fd=at)
                    except FileExistsError:
                        pass
                into = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=at)
                os.close(at)
                at = into
            return os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o644, dir_fd=at)
        finally:
            os.close(at)

    def do_list(self, request: dict[str, Any], fds: list[int]) -> None:
        """Tell of files below the working folder, a part at a time."""
        entries: list[list[Any]] = []
        left = request["most"]
        for path, found in files(self.root, ""):
            if left == 0:
                self.send({"n": request["n"], "entries": entries, "more": False, "cut": True})
                return
            left -= 1
            entries.append([path, found.st_size, bool(found.st_mode & 0o100)])
            if len(entries) >= MOST_ENTRIES_A_LINE:
                self.send({"n": request["n"], "entries": entries, "more": True})
                entries = []
        self.send({"n": request["n"], "entries": entries, "more": False, "cut": False})

    def reap(self) -> None:
        """See to every process that has ended; tell when it was the program."""
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self.running:
                number, self.running = self.number, None
                # What it left behind holds its pipes open, and might go on for ever.
                self.end_all()
                self.send(
                    {
                        "n": number,
                        "ended": os.waitstatus_to_exitcode(status),
                        "cpu": usage.ru_utime + usage.ru_stime,
                        "peak": usage.ru_maxrss,
                    }
                )

    def end_all(self) -> None:
        """Kill every process of the sandbox but this one."""
        while self.signal_all(signal.SIGKILL) and not self.first:
            pass

    def signal_all(self, number: int) -> bool:
        """Send a signal to every process but this one; return whether there was one."""
        if self.first:
            try:
                os.kill(-1, number)
            except ProcessLookupError:
                return False
            return True
        found = descendants(os.getpid())
        for pid in found:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass
        if number == signal.SIGKILL:
            self.reap_strays(found)
        return bool(found)

    def reap_strays(self, pids: list[int]) -> None:
        """Wait for killed processes that have become ours; the program itself is `reap`'s to tell of."""
        for pid in pids:
            if pid != self.running:
                try:
                    os.waitpid(pid, 0)
                except ChildProcessError:
                    pass
        if self.running in pids:
            self.reap()


def limit(which: int, most: int) -> None:
    """Set a limit that cannot be raised again, or keep a lower one."""
    _, hard = resource.getrlimit(which)
    if hard != resource.RLIM_INFINITY:
        most = min(most, hard)
    resource.setrlimit(which, (most, most))


def execute(command: list[str], env: dict[str, str]) -> None:
    """Become a program, of the first folder in ``PATH`` that has it.

    Raises:
        OSError: there is none, or it cannot be run.
    """
    if "/" in command[0]:
        os.execve(command[0], command, env)
    found: OSError = FileNotFoundError(errno.ENOENT, "")
    for folder in env.get("PATH", "/usr/bin:/bin").split(":"):
        try:
            os.execve((folder or ".") + "/" + command[0], command, env)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            # There is one that cannot be run: a later one may.
            if found.errno == errno.ENOENT:
                found = error
    raise found


def files(folder: int, within: str) -> Iterator[tuple[str, os.stat_result]]:
    """Yield the files below a folder, by their paths from there on, without following a link.

    Those of a folder come before those of folders in it, both by name. What goes away meanwhile is left out.
    """
    folders = []
    with os.scandir(folder) as found:
        entries = sorted(found, key=lambda one: one.name)
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            folders.append(entry.name)
            continue
        try:
            about = entry.stat(follow_symlinks=False)
        except OSError:
            continue
        if about.st_mode & KIND == REGULAR:
            yield within + entry.name, about
    for name in folders:
        try:
            at = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
        except OSError:
            continue
        try:
            yield from files(at, within + name + "/")
        finally:
            os.close(at)


def numbers(others: list[tuple[int, int, bytes]]) -> Iterator[int]:
    """Yield the descriptors that came with a message."""
    for level, kind, raw in others:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            for at in range(0, len(raw) - len(raw) % 4, 4):
                yield int.from_bytes(raw[at : at + 4], sys.byteorder)


def written(value: Any) -> str:
    """Return a value as JSON: of what this guest says, which has no float that is no number."""
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, dict):
        return "{" + ",".join(written(name) + ":" + written(one) for name, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(written, value)) + "]"
    if value is None:
        return "null"
    return ("false", "true")[value] if isinstance(value, bool) else repr(value)


def descendants(root: int) -> list[int]:
    """Return every process below ``root``, the nearest first."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open("/proc/" + name + "/stat", "rb") as file:
                    fields = file.read().rpartition(b")")[2].split()
            except OSError:
                continue
            if fields[0] != b"Z" or int(fields[1]) != root:
                children.setdefault(int(fields[1]), []).append(int(name))
    found: list[int] = []
    look = [root]
    while look:
        for child in children.get(look.pop(), ()):
            found.append(child)
            look.append(child)
    return found


def prctl(option: int, value: int) -> None:
    """Set something of this very process."""
    import ctypes

    ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def die_with_parent() -> None:
    """Be killed when the parent dies."""
    prctl(1, int(signal.SIGKILL))


def confine(path: str) -> None:
    """Run under a filter of system calls from now on, with whatever is started."""
    import ctypes

    with open(path, "rb") as file:
        program = file.read()
    held = ctypes.create_string_buffer(program, len(program))

    class Program(ctypes.Structure):
        _fields_ = [("count", ctypes.c_ushort), ("ops", ctypes.c_void_p)]

    ops = Program(len(program) // 8, ctypes.addressof(held))
    libc = ctypes.CDLL(None, use_errno=True)
    # No new privileges, or the kernel takes no filter from us; then the filter.
    if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, ctypes.byref(ops), 0, 0):
        raise OSError(ctypes.get_errno(), "no filter of system calls")


def reach(way: str) -> socket.socket:
    """Return the socket to the host: an inherited descriptor, or a path at which the host waits."""
    if way.isdigit():
        return socket.socket(fileno=int(way))
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(way)
    return sock


def main() -> None:
    """Run: the way to the host, working folder, ``first`` or ``plain``, and maybe a filter."""
    sock = reach(sys.argv[1])
    first = sys.argv[3] == "first"
    if not first:
        # Before the filter, which lets nobody choose another signal than the one that cannot be heeded.
        prctl(1, int(signal.SIGTERM))
        # Processes whose parents have died become children of this one: none gets away.
        prctl(36, 1)
        os.setsid()
    if len(sys.argv) > 4:
        confine(sys.argv[4])
    sock.setblocking(True)
    os.set_inheritable(sock.fileno(), False)
    Guest(sock, sys.argv[2], first).serve()


if __name__ == "__main__":
    main()
