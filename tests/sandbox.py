"""What systemd and containers forbid to a process, done with the kernel's own means: seccomp and PR_SET_MDWE.

Each function returns what subprocess.Popen takes as `preexec_fn`; it binds the child and everything that it starts.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Callable, Iterable

# x86-64's numbers of system calls.
SETPRIORITY = {"setpriority": 141}
# systemd's @resources (`systemd-analyze syscall-filter @resources`); and what other hardening forbids with it: the
# limits of open files, and even to ask for niceness and limits.
RESOURCES = SETPRIORITY | {
    "sched_setparam": 142,
    "sched_setscheduler": 144,
    "setrlimit": 160,
    "sched_setaffinity": 203,
    "mbind": 237,
    "set_mempolicy": 238,
    "ioprio_set": 251,
    "migrate_pages": 256,
    "move_pages": 279,
    "sched_setattr": 314,
    "set_mempolicy_home_node": 450,
}
EVEN_TO_ASK = RESOURCES | {"getrlimit": 97, "getpriority": 140, "prlimit64": 302}

_PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS, _PR_SET_MDWE = 22, 38, 65
_SECCOMP_MODE_FILTER, _PR_MDWE_REFUSE_EXEC_GAIN = 2, 1
# Instructions of the filter (linux/bpf_common.h), and its answers (linux/seccomp.h).
_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _FAIL_WITH = 0x7FFF0000, 0x00050000


def forbidding(calls: Iterable[int], error: int = errno.EPERM) -> Callable[[], None]:
    """Let system calls of these numbers fail with an error."""
    numbers = list(calls)
    program = [(_LOAD, 0, 0, 0)]  # the call's number
    program += [(_EQUAL, len(numbers) - index, 0, number) for index, number in enumerate(numbers)]
    program += [(_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _FAIL_WITH | error)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *instruction) for instruction in program))
    fprog = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(program), ctypes.addressof(code)))
    keep = code

    def apply() -> None:
        assert keep
        _prctl(_PR_SET_NO_NEW_PRIVS, 1)
        _prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.addressof(fprog))

    return apply


def without_executable_memory() -> None:
    """Forbid memory that is, or becomes, executable after it could be written (Linux 6.3)."""
    _prctl(_PR_SET_MDWE, _PR_MDWE_REFUSE_EXEC_GAIN)


def _prctl(option: int, *values: int) -> None:
    arguments = [ctypes.c_ulong(value) for value in (*values, 0, 0, 0, 0)[:4]]
    if ctypes.CDLL(None, use_errno=True).prctl(option, *arguments):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
