"""What the tests of machines share: one image, built from Debian's packages."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from vm_images import image_for, shared_folder


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an image."""
    return image_for(shared_folder(tmp_path_factory))


@pytest.fixture
def own_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where machines of this test alone have their folders: workers beside it tidy up after the dead, too."""
    # Not below pytest's own: the path of a socket may have a hundred characters.
    folder = Path(tempfile.mkdtemp(prefix="vms-"))
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)
