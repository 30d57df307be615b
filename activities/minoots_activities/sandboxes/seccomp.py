"""The filter of system calls that a sandbox's programs run under, as the kernel takes it.

Owns the table. A program gets errors for what reaches around its namespaces (mounts, namespaces of its own,
other processes' memory, keys, BPF, io_uring, clocks, modules), for outliving whoever has started it, for
calls that are newer than the table, and for sockets of other families than Unix and IP: the kernel's least
looked-at code is behind those.
"""

from __future__ import annotations

import errno
import platform
import struct
from typing import Final, NamedTuple

_ARCHITECTURES: Final = {
    "x86_64": 0xC000003E,
    "amd64": 0xC000003E,
    "aarch64": 0xC00000B7,
    "arm64": 0xC00000B7,
}
_X86: Final = 0xC000003E
_ABSENT: Final = None

# name: number on x86_64, on aarch64
DENIED: Final[dict[str, tuple[int | None, int | None]]] = {
    "acct": (163, 89),
    "add_key": (248, 217),
    "adjtimex": (159, 171),
    "bpf": (321, 280),
    "chroot": (161, 51),
    "clock_adjtime": (305, 266),
    "clock_settime": (227, 112),
    "delete_module": (176, 106),
    "fanotify_init": (300, 262),
    "finit_module": (313, 273),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fsopen": (430, 430),
    "fspick": (433, 433),
    "init_module": (175, 105),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "io_uring_setup": (425, 425),
    "ioperm": (173, _ABSENT),
    "iopl": (172, _ABSENT),
    "kcmp": (312, 272),
    "kexec_file_load": (320, 294),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "lookup_dcookie": (212, 18),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "perf_event_open": (298, 241),
    "personality": (135, 92),
    "pidfd_getfd": (438, 438),
    "pivot_root": (155, 41),
    "process_madvise": (440, 440),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "ptrace": (101, 117),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "reboot": (169, 142),
    "request_key": (249, 218),
    "setdomainname": (171, 162),
    "sethostname": (170, 161),
    "setns": (308, 268),
    "settimeofday": (164, 170),
    "swapoff": (168, 225),
    "swapon": (167, 224),
    "sysfs": (139, _ABSENT),
    "syslog": (103, 116),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "uselib": (134, _ABSENT),
    "userfaultfd": (323, 282),
    "vhangup": (153, 58),
}
LOOKED_INTO: Final[dict[str, tuple[int, int]]] = {
    "clone": (56, 220),
    "clone3": (435, 435),
    "ioctl": (16, 29),
    "prctl": (157, 167),
    "socket": (41, 198),
    "socketpair": (53, 199),
}
_NEWEST: Final = 462
"""mseal. What is newer is not there, as on an older kernel."""

_CLONE_NAMESPACES: Final = 0x7E020000 | 0x80
_TERMINAL_REQUESTS: Final = (0x5412, 0x541C)
"""TIOCSTI and TIOCLINUX: they type into the terminal that somebody sits at."""
_FAMILIES: Final = (1, 2, 10)
"""Unix, IPv4, IPv6."""

_DIES_WITH_PARENT: Final = 1
"""PR_SET_PDEATHSIG: by it a sandbox ends when whoever holds it does, and none of its programs undoes that."""
_SIGKILL: Final = 9

_ALLOW: Final = 0x7FFF0000
_ERROR: Final = 0x00050000
_KILL: Final = 0x80000000
_X32: Final = 0x40000000


class _Op(NamedTuple):
    code: int
    yes: int
    no: int
    value: int


def _load(offset: int) -> _Op:
    return _Op(0x20, 0, 0, offset)


def _equal(value: int, yes: int, no: int) -> _Op:
    return _Op(0x15, yes, no, value)


def _answer(value: int) -> _Op:
    return _Op(0x06, 0, 0, value)


def _argument(index: int) -> int:
    """Return where the low half of an argument stands; both architectures are little-endian."""
    return 16 + 8 * index


def supported(machine: str | None = None) -> bool:
    """Tell whether there is a table for this architecture."""
    return (machine or platform.machine()).lower() in _ARCHITECTURES


def program(machine: str | None = None) -> bytes:
    """Return the filter for an architecture, by default this one, as ``bwrap --seccomp`` reads it.

    Raises:
        KeyError: for one without a table; see `supported`.
    """
    arch = _ARCHITECTURES[(machine or platform.machine()).lower()]
    column = 0 if arch == _X86 else 1
    ops = [_load(4), _equal(arch, 1, 0), _answer(_KILL), _load(0)]
    if arch == _X86:
        ops += [_Op(0x35, 0, 1, _X32), _answer(_KILL)]
    ops += [_Op(0x25, 0, 1, _NEWEST), _answer(_ERROR | errno.ENOSYS)]
    for numbers in DENIED.values():
        number = numbers[column]
        if number is not None:
            ops += [_equal(number, 0, 1), _answer(_ERROR | errno.EPERM)]
    # glibc takes clone where there is no clone3, whose flags no filter can see.
    ops += [_equal(LOOKED_INTO["clone3"][column], 0, 1), _answer(_ERROR | errno.ENOSYS)]
    ops += _looking(
        LOOKED_INTO["clone"][column],
        [_load(_argument(0)), _Op(0x45, 0, 1, _CLONE_NAMESPACES), _answer(_ERROR | errno.EPERM)],
    )
    terminal = [_load(_argument(1))]
    for request in _TERMINAL_REQUESTS:
        terminal += [_equal(request, 0, 1), _answer(_ERROR | errno.EPERM)]
    ops += _looking(LOOKED_INTO["ioctl"][column], terminal)
    parent = [_load(_argument(0)), _equal(_DIES_WITH_PARENT, 0, 3)]
    parent += [_load(_argument(1)), _equal(_SIGKILL, 1, 0), _answer(_ERROR | errno.EPERM)]
    ops += _looking(LOOKED_INTO["prctl"][column], parent)
    for name, families in (("socket", _FAMILIES), ("socketpair", _FAMILIES[:1])):
        checks = [_load(_argument(0))]
        checks += [_equal(one, len(families) - place, 0) for place, one in enumerate(families)]
        checks += [_answer(_ERROR | errno.EAFNOSUPPORT)]
        ops += _looking(LOOKED_INTO[name][column], checks)
    ops.append(_answer(_ALLOW))
    return b"".join(struct.pack("<HBBI", *op) for op in ops)


def _looking(number: int, checks: list[_Op]) -> list[_Op]:
    """Return the checks of one call's arguments; whoever passes them is allowed."""
    return [_equal(number, 0, len(checks) + 1), *checks, _answer(_ALLOW)]
