"""What the tests of machines share: one image, built from Debian's packages."""

from __future__ import annotations

from pathlib import Path

import pytest
from vm_images import image_for


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an image."""
    # One level up where several processes share a run: each has a folder of its own there.
    own = tmp_path_factory.getbasetemp()
    return image_for(own.parent if own.name.startswith("popen-") else own)
