"""The ``minoots`` command. Needs the extra ``cli``; everything else is imported only when that is there."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the ``minoots`` command."""
    try:
        import rich  # noqa: F401 - only to know that it is there
        import typer  # noqa: F401 - only to know that it is there
    except ModuleNotFoundError as error:
        if error.name not in ("rich", "typer"):
            raise
        sys.stderr.write("minoots: the command line needs typer and rich; run: pip install 'minoots[cli]'\n")
        sys.exit(2)
    from .root import run

    run()
