"""The system calls that code in the sandbox may not make, as a filter for the kernel (classic BPF).

The filter is a second wall: it shuts the parts of the kernel that a test suite never needs and that
break-outs like to use. What it does not name stays allowed.
"""

import errno
import platform
from dataclasses import dataclass
from struct import pack

# name: (x86-64, aarch64); None where the call does not exist.
_DENIED: dict[str, tuple[int | None, int | None]] = {
    # Looking into other processes.
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    # Keys are not in a namespace.
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    # Programs in the kernel, and interfaces with a long list of holes.
    "bpf": (321, 280),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "userfaultfd": (323, 282),
    "perf_event_open": (298, 241),
    "modify_ldt": (154, None),
    "uselib": (134, None),
    "lookup_dcookie": (212, 18),
    "fanotify_init": (300, 262),
    "move_pages": (279, 239),
    "migrate_pages": (256, 238),
    # Mounts and namespaces.
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "unshare": (272, 97),
    "setns": (308, 268),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    # The machine itself.
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "create_module": (174, None),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "iopl": (172, None),
    "ioperm": (173, None),
    "acct": (163, 89),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "adjtimex": (159, 171),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "syslog": (103, 116),
    "vhangup": (153, 58),
}

# CLONE_NEW{NS,CGROUP,UTS,IPC,USER,PID,NET}
_NEW_NAMESPACES = 0x00020000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C  # typing into a terminal
_FAMILIES = (1, 2, 10, 16)  # unix, inet, inet6, netlink; vsock and others pass network namespaces by

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16


@dataclass(frozen=True, slots=True)
class _Machine:
    column: int
    architecture: int
    clone: int
    clone3: int
    ioctl: int
    socket: int


_MACHINES = {
    "x86_64": _Machine(0, 0xC000003E, clone=56, clone3=435, ioctl=16, socket=41),
    "aarch64": _Machine(1, 0xC00000B7, clone=220, clone3=435, ioctl=29, socket=198),
}


def program(machine: str = "") -> bytes | None:
    """The filter for this kind of machine as bubblewrap's `--seccomp` reads it; None where we have none."""
    known = _MACHINES.get(machine or platform.machine())
    if known is None:
        return None
    code = _step(_LOAD, _ARCHITECTURE)
    # The numbers mean something else for programs of another architecture.
    code += _step(_EQUAL, known.architecture, yes=1) + _step(_RETURN, _KILL)
    code += _step(_LOAD, _NUMBER)
    if known.column == 0:
        code += _step(_AT_LEAST, 0x40000000, no=1) + _refuse(errno.ENOSYS)  # x32
    for numbers in _DENIED.values():
        if (number := numbers[known.column]) is not None:
            code += _step(_EQUAL, number, no=1) + _refuse(errno.EPERM)
    # The arguments of clone3 lie in memory, where a filter cannot look: its callers fall back to clone.
    code += _step(_EQUAL, known.clone3, no=1) + _refuse(errno.ENOSYS)
    flags = _argument(0) + _step(_ANY_BIT, _NEW_NAMESPACES, no=1) + _refuse(errno.EPERM)
    code += _when(known.clone, flags)
    typing = _argument(1) + _step(_EQUAL, _TIOCSTI, yes=1) + _step(_EQUAL, _TIOCLINUX, no=1)
    code += _when(known.ioctl, typing + _refuse(errno.EPERM))
    family = _argument(0)
    for position, allowed in enumerate(_FAMILIES):
        family += _step(_EQUAL, allowed, yes=len(_FAMILIES) - position)
    code += _when(known.socket, family + _refuse(errno.EAFNOSUPPORT))
    return code + _step(_RETURN, _ALLOW)


def _step(code: int, value: int, *, yes: int = 0, no: int = 0) -> bytes:
    return pack("=HBBI", code, yes, no, value)


def _refuse(why: int) -> bytes:
    return _step(_RETURN, _ERRNO | why)


def _argument(position: int) -> bytes:
    return _step(_LOAD, _ARGUMENTS + 8 * position)  # the low half, on little-endian machines


def _when(number: int, block: bytes) -> bytes:
    """`block` for this call only; it ends in a verdict or falls through to allow."""
    block += _step(_RETURN, _ALLOW)
    return _step(_EQUAL, number, no=len(block) // 8) + block
