"""The code of the guest, compiled beforehand: whoever starts a sandbox would wait for it each time."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final

from .port import never_started
from .starting import GUEST

_SECONDS: Final = 60
# Such a file begins with that Python's own number and twelve bytes that say of which source it is: of none.
_COMPILE: Final = """
import importlib.util, marshal, sys
code = compile(sys.stdin.buffer.read(), "guest.py", "exec", dont_inherit=True)
sys.stdout.buffer.write(importlib.util.MAGIC_NUMBER + bytes(12) + marshal.dumps(code))
"""


def compiled(python: Path) -> bytes:
    """Return the guest as a ``.pyc`` file for one Python, which need not be ours.

    Args:
        python: the interpreter, of this machine.

    Raises:
        NeverStarted: that one does not compile it.
    """
    try:
        return subprocess.run(  # noqa: S603 - an interpreter that we have chosen, without anybody's input
            [str(python), "-I", "-S", "-B", "-c", _COMPILE],
            input=GUEST.read_bytes(),
            capture_output=True,
            timeout=_SECONDS,
            check=True,
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise never_started(
            f"{python} does not compile the guest of sandboxes ({type(error).__name__})",
            "Install the distribution's Python (apt install python3), 3.9 or newer.",
        ) from error
