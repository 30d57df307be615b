"""How many open files a worker of sandboxes may have.

Owns the soft limit of its own process. What programs may have is told to each of them, and not here.
"""

from __future__ import annotations

import resource
from contextlib import suppress
from typing import Final

_WANTED: Final = 65_536


def allow_many() -> None:
    """Raise the soft limit of this process towards the hard one, as far as that is useful.

    Where the worker is not root, its sandboxes are of its user, and the kernel counts what any process of a
    user has sent over sockets and nobody has taken yet: who has reached his own limit sends no descriptor any
    more. A program may have 1024, the usual limit of a worker, too, and would keep it from starting others.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _WANTED if hard == resource.RLIM_INFINITY else min(_WANTED, hard)
    if soft == resource.RLIM_INFINITY or soft >= most:
        return
    with suppress(ValueError, OSError):
        # Some systems have a ceiling of their own below the hard limit; what was before is no worse.
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
