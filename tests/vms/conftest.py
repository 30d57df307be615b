"""What the tests of machines share: one image, built from Debian's packages."""

from __future__ import annotations

from pathlib import Path

import pytest
from vm_images import image_for, shared_folder


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an image."""
    return image_for(shared_folder(tmp_path_factory))
