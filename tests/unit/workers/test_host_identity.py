"""The id of a host that captures, in its data directory."""

from __future__ import annotations

from pathlib import Path

import pytest

from minoots.errors import Failure, FailureKind
from minoots_workers.host_identity import identity_of


def test_it_stays_the_same_and_is_another_elsewhere(tmp_path: Path) -> None:
    seen = []
    for folder in ("one", "one", "other"):
        with identity_of(tmp_path / folder) as identity:
            seen.append(identity)
    assert seen[0] == seen[1] != seen[2]
    assert all(len(one) == 24 for one in seen)


def test_one_process_at_a_time_has_it(tmp_path: Path) -> None:
    with (
        identity_of(tmp_path),
        pytest.raises(Failure, match="another process captures") as failed,
        identity_of(tmp_path),
    ):
        pass
    assert failed.value.kind is FailureKind.CONFLICT
    assert "capture.host" in str(failed.value.remedy)
    with identity_of(tmp_path):
        pass


def test_a_directory_that_cannot_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Failure, match="cannot be used"), identity_of(tmp_path / "file"):
        pass
