# SPDX-License-Identifier: Apache-2.0
"""landlock.py: lets a process write only below given folders, for programs that are broken on purpose.

A mutant of a function that removes or writes files runs with the rights of who started the tests, often root. Reading
and running stay free. A process under landlock cannot mount, so tests that jail candidates cannot run under it.
"""
import ctypes
import os

CREATE, ADD, RESTRICT = 444, 445, 446  # the same numbers on every architecture
WRITES = sum(1 << bit for bit in (1, 4, 5, 6, 7, 8, 9, 10, 11, 12))  # write a file, remove, make of every kind
REFER, TRUNCATE = 1 << 13, 1 << 14  # since versions 2 and 3
PR_SET_NO_NEW_PRIVS = 38

libc = ctypes.CDLL(None, use_errno=True)


def version():
    """The kernel's version of landlock, 0 without it."""
    return max(libc.syscall(CREATE, None, 0, 1), 0)


def restrict_writes(folders):
    """From here on this process and its children write only below these folders (those that exist)."""
    known = version()
    rights = WRITES | (REFER if known >= 2 else 0) | (TRUNCATE if known >= 3 else 0)
    attr = ctypes.c_uint64(rights)
    ruleset = libc.syscall(CREATE, ctypes.byref(attr), 8, 0)
    if ruleset < 0:
        raise OSError(ctypes.get_errno(), "landlock_create_ruleset")
    for folder in folders:
        if not os.path.isdir(folder):
            continue
        fd = os.open(folder, os.O_PATH | os.O_CLOEXEC)
        rule = (ctypes.c_char * 12).from_buffer_copy(rights.to_bytes(8, "little") + fd.to_bytes(4, "little"))
        if libc.syscall(ADD, ruleset, 1, ctypes.byref(rule), 0) != 0:
            raise OSError(ctypes.get_errno(), "landlock_add_rule")
        os.close(fd)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 or libc.syscall(RESTRICT, ruleset, 0) != 0:
        raise OSError(ctypes.get_errno(), "landlock_restrict_self")
    os.close(ruleset)
