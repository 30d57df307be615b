"""An image of containers for tests: busybox, made from the distribution's package, fetched from nowhere."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_SECONDS = 300
_refused: list[str] = []


def lacks() -> str | None:
    """Return why no image can be made here."""
    if _refused:
        return _refused[0]
    if shutil.which("podman") is None:
        return "podman is not installed (apt install podman runc)"
    if _busybox() is None:
        return "there is no static busybox to make an image of (apt install busybox-static)"
    return None


@contextmanager
def made_image(*, plain: bool = False) -> Iterator[str | None]:
    """Make an image; yield its reference by digest, ``None`` where none can be made; remove it.

    Args:
        plain: whether it is as most images are: with no folder of our name, and a /tmp for everybody.
    """
    if lacks() is not None:
        yield None
        return
    name = f"localhost/minoots-test-{os.getpid()}{'-plain' if plain else ''}"
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "root")
        for one in ("bin", "etc", "tmp", "work", "run", "proc", "sys", "dev"):
            (root / one).mkdir(parents=True)
        busybox = _busybox()
        assert busybox is not None
        shutil.copyfile(busybox, root / "bin" / "busybox")
        (root / "bin" / "busybox").chmod(0o755)
        for applet in _said(busybox, "--list").split():
            if applet != "busybox":
                (root / "bin" / applet).symlink_to("busybox")
        # What an image has there is neither seen nor written to.
        (root / "work" / "of-the-image").write_text("x")
        if plain:
            shutil.rmtree(root / "work")
            (root / "tmp").chmod(0o1777)
        # A place that an image wants to be written to, by whoever runs in it.
        (root / "cache").mkdir()
        (root / "cache").chmod(0o1777)
        (root / "etc" / "passwd").write_text("root:x:0:0::/:/bin/sh\n")
        packed = shutil.make_archive(str(Path(folder, "root")), "tar", root)
        try:
            _said("podman", "import", "--quiet", "--change", "VOLUME /cache", packed, f"{name}:latest")
            digest = _said("podman", "image", "inspect", "--format", "{{.Digest}}", f"{name}:latest")
        except (subprocess.SubprocessError, OSError) as error:
            # Podman may be there and not work: then its tests skip, and say why.
            _refused.append(f"podman makes no image here: {getattr(error, 'stderr', None) or error}")
            yield None
            return
    try:
        yield f"{name}@{digest.strip()}"
    finally:
        subprocess.run(
            ["podman", "rmi", "--force", f"{name}:latest"], capture_output=True, timeout=_SECONDS, check=False
        )


def _busybox() -> str | None:
    """Return the busybox of the distribution, if it is one that needs no libraries."""
    found = shutil.which("busybox")
    if found is None:
        return None
    needs = subprocess.run(["ldd", found], capture_output=True, text=True, timeout=_SECONDS, check=False)
    return None if "=>" in needs.stdout else found


def _said(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=True).stdout
