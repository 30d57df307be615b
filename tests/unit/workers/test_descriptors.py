"""A worker of sandboxes may have more descriptors on their way than a program."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest

CODE = """
import resource
from minoots_workers.descriptors import allow_many
resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
allow_many()
print(*resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def limits_after(soft: int) -> tuple[int, int]:
    """The soft and the hard limit of a worker that began with this soft one."""
    done = subprocess.run([sys.executable, "-c", CODE.format(soft=soft)], capture_output=True, check=True)
    now, hard = done.stdout.split()
    return int(now), int(hard)


@pytest.mark.skipif(sys.platform != "linux", reason="sandboxes of namespaces are Linux's")
def test_a_worker_has_more_than_programs_that_are_of_its_user() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = 65_536 if hard == resource.RLIM_INFINITY else min(65_536, hard)
    assert limits_after(256) == (most, hard)


def test_a_limit_that_is_high_enough_stays() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft = 70_000 if hard == resource.RLIM_INFINITY or hard >= 70_000 else hard
    assert limits_after(soft) == (soft, hard)
