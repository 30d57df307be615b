"""A Python that can be carried into any root file system: the few files that the guest needs, and no more.

Owns finding and copying them. An image may have another C library or none: this interpreter is started by its
own loader and finds its own libraries, and programs of the image see nothing of either.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

from . import seccomp
from .guest_code import compiled
from .port import never_started

INSIDE: Final = "/.minoots"
"""Where it is in the sandbox."""
_SECONDS: Final = 60
_SHORT: Final = re.compile(r".*?\.so\.[0-9]+")
# Tells which files have been read by the time that everything is imported which the guest imports, or a
# program that is written for this Python.
_ASK: Final = """
import __future__, ctypes, errno, fcntl, json, os, resource, select, signal, socket, stat, sys, warnings
import encodings.ascii, encodings.idna, encodings.latin_1, encodings.utf_8
with open("/proc/self/maps") as maps:
    mapped = sorted({line.split()[-1] for line in maps if ".so" in line and "/" in line})
modules = [getattr(one, "__file__", None) for one in sys.modules.values()] + [os.__file__]
json.dump({
    "version": "python%d.%d" % sys.version_info[:2],
    "executable": os.path.realpath(sys.executable),
    "library": os.path.dirname(os.path.realpath(os.__file__)),
    "modules": sorted({os.path.realpath(one) for one in modules if one and one.endswith(".py")}),
    "mapped": mapped,
}, sys.stdout)
"""


def carry(python: Path, folder: Path) -> None:
    """Copy the guest and what it needs of an interpreter into ``folder``, which is mounted as `INSIDE`.

    Args:
        python: the interpreter, of this machine.
        folder: where; it has to be empty.

    Raises:
        NeverStarted: it needs something that cannot be found.
    """
    try:
        said = subprocess.run(  # noqa: S603 - our own interpreter
            [str(python), "-I", "-S", "-c", _ASK], capture_output=True, timeout=_SECONDS, check=True
        ).stdout
        found = json.loads(said)
        _copy(found, folder)
        # Read-only it is mounted, and every start would compile all of it anew.
        subprocess.run(  # noqa: S603 - likewise
            [str(python), "-I", "-m", "compileall", "-q", str(folder / "lib")],
            capture_output=True,
            timeout=_SECONDS,
            check=True,
        )
        (folder / "guest.pyc").write_bytes(compiled(python))
        for one in folder.rglob("*"):
            # Whatever our umask: another user reads it.
            one.chmod(one.stat().st_mode | (0o555 if one.is_dir() else 0o444))
        folder.chmod(0o755)
    except (OSError, subprocess.SubprocessError, ValueError, KeyError, StopIteration) as error:
        raise never_started(
            f"{python} cannot be carried into a container ({type(error).__name__})",
            "Install the distribution's Python (apt install python3).",
        ) from error


def command(way: str) -> list[str]:
    """Return what starts the guest in a container.

    Args:
        way: the path of the socket on which the host waits for it.
    """
    return [
        f"{INSIDE}/loader", "--library-path", f"{INSIDE}/libraries", f"{INSIDE}/bin/python3",
        "-I", "-S", "-B", f"{INSIDE}/guest.pyc", way, "/work", "first", f"{INSIDE}/filter",
    ]  # fmt: skip


def _copy(found: dict[str, str | list[str]], folder: Path) -> None:
    library = folder / "lib" / str(found["version"])
    (library / "lib-dynload").mkdir(parents=True)
    (folder / "libraries").mkdir()
    (folder / "bin").mkdir()
    shutil.copyfile(str(found["executable"]), folder / "bin" / "python3")
    for module in found["modules"]:
        path = Path(module)
        target = library / path.relative_to(str(found["library"]))
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    for name in found["mapped"]:
        path = Path(name)
        extension = path.is_relative_to(str(found["library"]))
        if extension:
            shutil.copyfile(path, library / "lib-dynload" / path.name)
            continue
        shutil.copyfile(path, folder / "libraries" / path.name)
        # What is mapped is called by its whole version; what asks for it, by the first number of that.
        short = _SHORT.match(path.name)
        if short is not None and short[0] != path.name:
            (folder / "libraries" / short[0]).symlink_to(path.name)
    loader = next((folder / "libraries").glob("ld-*"))
    shutil.copyfile(loader, folder / "loader")
    (folder / "filter").write_bytes(seccomp.program())
    for program in (folder / "loader", folder / "bin" / "python3"):
        program.chmod(0o755)
