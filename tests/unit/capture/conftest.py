"""Real transcripts beside the checkout, where there are any."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

SAMPLES = Path(os.environ.get("MINOOTS_SESSION_SAMPLES", Path(__file__).parents[4] / "shared" / "sessions"))


@pytest.fixture(scope="session")
def samples() -> Path:
    """The folder of samples; each provider's in a folder of its name."""
    if not SAMPLES.is_dir():
        pytest.skip("no samples of real transcripts here; MINOOTS_SESSION_SAMPLES may name a folder")
    return SAMPLES
