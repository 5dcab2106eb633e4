#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""plain.py COMMAND…: runs a command as root of an ordinary container has it: no new namespaces, no mounts, the usual
fourteen capabilities, read-only /sys and control groups.

It is what Docker and Podman do by default, made by hand because machines that test have neither: capabilities outside
the list are dropped for good, and a seccomp filter answers EPERM to the calls that their profile forbids (unshare,
setns, mount and its successors, clone with a namespace flag, keyctl, bpf, perf_event_open, ptrace of others,
personality other than asking) and ENOSYS to clone3, whose flags a filter cannot see. Landlock and seccomp themselves
stay allowed, as they are there. Needs root with CAP_SYS_ADMIN to build; exit code 77 where that is not to be had.
"""
import ctypes
import os
import platform
import struct
import sys

CLONE_NEWNS = 0x20000
NAMESPACE_FLAGS = 0x7E020000  # NEWNS NEWCGROUP NEWUTS NEWIPC NEWUSER NEWPID NEWNET
MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 32, 4096, 16384, 1 << 18
PR_SET_SECCOMP, PR_CAPBSET_DROP = 22, 24
KEPT_CAPABILITIES = {0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 27, 29, 31}  # CHOWN … SETFCAP, Docker's default list
CALLS = {  # name: number on x86_64, on aarch64
    "ptrace": (101, 117), "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "unshare": (272, 97), "setns": (308, 268),
    "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430), "fsmount": (432, 432), "mount_setattr": (442, 442),
    "keyctl": (250, 219), "add_key": (248, 217), "request_key": (249, 218), "bpf": (321, 280), "perf_event_open": (298, 241),
    "userfaultfd": (323, 282), "open_by_handle_at": (304, 265), "quotactl": (179, 60), "swapon": (167, 224), "reboot": (169, 142),
    "kexec_load": (246, 104), "init_module": (175, 105), "finit_module": (313, 273),
}
CLONE, CLONE3, PERSONALITY = (56, 220), (435, 435), (135, 92)
ALLOW, EPERM, ENOSYS = 0x7FFF0000, 0x00050001, 0x00050026

libc = ctypes.CDLL(None, use_errno=True)


def call(name, *arguments):
    if getattr(libc, name)(*arguments) != 0:
        raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")


def seccomp_filter(machine):
    """The filter's program: struct sock_filter {code, jt, jf, k} a line."""
    load, equal, any_of, ret, mask = 0x20, 0x15, 0x45, 0x06, 0x54
    lines = [(load, 0, 0, 0)]  # the call's number
    for number in sorted({pair[machine] for pair in CALLS.values()}):
        lines += [(equal, 0, 1, number), (ret, 0, 0, EPERM)]
    lines += [(equal, 0, 1, CLONE3[machine]), (ret, 0, 0, ENOSYS)]
    lines += [(equal, 0, 4, CLONE[machine]), (load, 0, 0, 16), (any_of, 0, 1, NAMESPACE_FLAGS), (ret, 0, 0, EPERM), (ret, 0, 0, ALLOW)]
    lines += [(equal, 0, 6, PERSONALITY[machine]), (load, 0, 0, 16), (equal, 2, 0, 0xFFFFFFFF), (mask, 0, 0, 0xFFFDFFF7),
              (equal, 0, 1, 0), (ret, 0, 0, ALLOW), (ret, 0, 0, EPERM)]
    lines += [(ret, 0, 0, ALLOW)]
    return b"".join(struct.pack("=HBBI", *line) for line in lines)


def main():
    if platform.machine() not in ("x86_64", "aarch64"):
        sys.exit(77)
    machine = 0 if platform.machine() == "x86_64" else 1
    try:
        call("unshare", CLONE_NEWNS)
        call("mount", b"none", b"/", None, MS_REC | MS_PRIVATE, None)
        for folder in (b"/sys/fs/cgroup", b"/sys", b"/proc/sys"):
            call("mount", folder, folder, None, MS_BIND | MS_REC, None)
            for mounted in [line.split()[4].encode() for line in open("/proc/self/mountinfo") if line.split()[4].encode().startswith(folder)]:
                call("mount", b"none", mounted, None, MS_BIND | MS_REMOUNT | MS_RDONLY, None)
    except OSError as e:
        print(f"plain.py cannot build a container here: {e}", file=sys.stderr)
        sys.exit(77)
    for capability in range(64):
        if capability not in KEPT_CAPABILITIES:
            libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
    program = seccomp_filter(machine)
    text = ctypes.create_string_buffer(program, len(program))
    filter_ = struct.pack("@HxxxxxxP", len(program) // 8, ctypes.addressof(text))
    call("prctl", PR_SET_SECCOMP, 2, filter_, 0, 0)
    kept = sum(1 << c for c in KEPT_CAPABILITIES)
    call("capset", struct.pack("=Ii", 0x20080522, 0),
         struct.pack("=IIIIII", kept & 0xFFFFFFFF, kept & 0xFFFFFFFF, 0, kept >> 32, kept >> 32, 0))
    os.execvp(sys.argv[1], sys.argv[1:])


if __name__ == "__main__":
    main()
