"""What `minoots config validate` finds out about capture beyond the settings: folders, registry, workspaces.

Looks, and changes nothing. Whatever is wrong here costs a part of capture at run time, never all of it, and
is told then, too: in `minoots status`.
"""

from __future__ import annotations

from pathlib import Path

from minoots.errors import Failure, FailureKind
from minoots_platform.settings import Settings
from minoots_platform.settings.faults import Fault

from .registry import Registry
from .workspaces import FILE


def faults_of(settings: Settings) -> list[Fault]:
    """Return everything that is wrong, each with what to do about it."""
    capture = settings.capture
    found = []
    for number, text in enumerate(capture.roots):
        folder = Path(text.partition("=")[2]).expanduser()
        found += _of_folder(f"capture.roots[{number}]", folder)
    for number, folder in enumerate(capture.write_roots):
        found += _of_folder(f"capture.write_roots[{number}]", folder)
    return found + _of_workspaces(capture.registry)


def _of_folder(key: str, folder: Path) -> list[Fault]:
    try:
        if folder.is_dir():
            next(folder.iterdir(), None)
            return []
        got = "a file" if folder.exists() else "nothing there"
    except OSError as error:
        got = error.strerror or type(error).__name__
    return [Fault(key, f"a folder that can be entered: {folder}", got, "Make it, or correct the setting.")]


def _of_workspaces(file: Path) -> list[Fault]:
    registry = Registry(file)
    try:
        roots = registry.roots()
    except Failure as failure:
        return [_of_failure("capture.registry", failure)]
    found = []
    for alias, root in roots.items():
        try:
            workspace = registry.get(alias)
        except Failure as failure:
            if failure.kind is FailureKind.NOT_FOUND:
                remedy = f"Make it (minoots workspace init {root}), or: minoots workspace unregister {alias}"
                found.append(Fault(f"workspace {alias}", f"the file {root / FILE}", "nothing there", remedy))
            else:
                found.append(_of_failure(f"workspace {alias}", failure))
            continue
        passed = registry.passed_over(workspace)
        if passed is not None:
            expected = "folders that it was registered with"
            found.append(Fault(f"workspace {alias}", expected, passed.detail, passed.remedy or ""))
    return found


def _of_failure(key: str, failure: Failure) -> Fault:
    return Fault(key, "a file that is sound", failure.detail, failure.remedy or "Correct it.")
