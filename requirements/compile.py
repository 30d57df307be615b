"""Write the lock files: hash-pinned, for Python 3.11 to 3.13 on Linux and macOS, without an index address."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
COMMAND = (
    "uv", "pip", "compile", "--universal", "--generate-hashes", "--no-emit-index-url", "--no-header",
    "--python-version", "3.11", "--no-emit-package", "minoots",
)  # fmt: skip
LOCKS = {
    # The build backend belongs to running too: the checkout is installed without build isolation.
    "runtime.txt": ("pyproject.toml", "--group", "build"),
    "dev.txt": ("pyproject.toml", "--group", "dev", "--constraints", "requirements/runtime.txt"),
    # What the SDK's integrations are tested with, in an environment of its own.
    "frameworks.txt": (
        "sdk/pyproject.toml", "--extra", "langgraph", "--extra", "autogen",
        "--group", "sdk/pyproject.toml:frameworks", "--group", "build",
    ),
}  # fmt: skip

for name, arguments in LOCKS.items():
    target = HERE / name
    command = [*COMMAND, *arguments, "--output-file", str(target.relative_to(HERE.parent)), *sys.argv[1:]]
    subprocess.run([str(Path(sys.executable).parent / command[0]), *command[1:]], check=True, cwd=HERE.parent,
                   stdout=subprocess.DEVNULL)  # fmt: skip
    text = target.read_text()
    target.write_text(f"# Written by `make lock`; do not edit.\n{text}")
