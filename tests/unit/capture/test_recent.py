"""What is remembered as long as there is room."""

from __future__ import annotations

from minoots_activities.capture.recent import Recent


def test_the_oldest_is_forgotten_and_one_that_is_set_again_is_the_latest() -> None:
    known: Recent[str, int] = Recent(2)
    known["a"] = known["b"] = 1
    known["a"] = 2
    known["c"] = 3
    assert known == {"a": 2, "c": 3}
