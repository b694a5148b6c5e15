"""The filter of system calls that every FFmpeg runs under: seccomp(2), as a program for the kernel's BPF machine.

It lists what is refused, not what is allowed: FFmpeg 5.1 to 9 and its two hundred libraries differ in what they call,
and what is refused here none of them needs to turn samples from one pipe or file into others. `libseccomp` would say
the same with names in place of numbers; it would have to be in the image, and FFmpeg's wheel does without one.
"""

from __future__ import annotations

import errno
import functools
import platform
import struct

# Name, number on x86-64 and on arm64; a dash where there is none.
_REFUSED = """
socket 41 198; socketpair 53 199; connect 42 203; bind 49 200; listen 50 201; accept 43 202; accept4 288 242;
sendto 44 206; sendmsg 46 211; sendmmsg 307 269; recvfrom 45 207; recvmsg 47 212; recvmmsg 299 243;
ptrace 101 117; process_vm_readv 310 270; process_vm_writev 311 271; process_madvise 440 440; process_mrelease 448 448;
kcmp 312 272; pidfd_open 434 434; pidfd_getfd 438 438; pidfd_send_signal 424 424; perf_event_open 298 241;
kill 62 129; tkill 200 130; tgkill 234 131; rt_sigqueueinfo 129 138; rt_tgsigqueueinfo 297 240; setsid 112 157;
setpriority 141 140; ioprio_set 251 30; sched_setscheduler 144 119; sched_setattr 314 274; sched_setparam 142 118;
sched_setaffinity 203 122; migrate_pages 256 238; move_pages 279 239;
io_uring_setup 425 425; io_uring_enter 426 426; io_uring_register 427 427; bpf 321 280; userfaultfd 323 282;
keyctl 250 219; add_key 248 217; request_key 249 218; memfd_secret 447 447;
mount 165 40; umount2 166 39; pivot_root 155 41; chroot 161 51; move_mount 429 429; open_tree 428 428; fsopen 430 430;
fsconfig 431 431; fsmount 432 432; fspick 433 433; mount_setattr 442 442; unshare 272 97; setns 308 268;
init_module 175 105; finit_module 313 273; delete_module 176 106; kexec_load 246 104; kexec_file_load 320 294;
reboot 169 142; swapon 167 224; swapoff 168 225; acct 163 89; quotactl 179 60; quotactl_fd 443 443; syslog 103 116;
name_to_handle_at 303 264; open_by_handle_at 304 265; fanotify_init 300 262; fanotify_mark 301 263;
setuid 105 146; setgid 106 144; setreuid 113 145; setregid 114 143; setresuid 117 147; setresgid 119 149;
setgroups 116 159; setfsuid 122 151; setfsgid 123 152; capset 126 91; personality 135 92; modify_ldt 154 -;
shmget 29 194; shmat 30 196; shmctl 31 195; msgget 68 186; msgsnd 69 189; msgrcv 70 188; msgctl 71 187;
semget 64 190; semop 65 193; semctl 66 191; semtimedop 220 192; mq_open 240 180; mq_unlink 241 181;
creat 85 -; mkdir 83 -; mkdirat 258 34; rmdir 84 -; unlink 87 -; unlinkat 263 35; rename 82 -; renameat 264 38;
renameat2 316 276; link 86 -; linkat 265 37; symlink 88 -; symlinkat 266 36; mknod 133 -; mknodat 259 33;
chmod 90 -; fchmod 91 52; fchmodat 268 53; chown 92 -; fchown 93 55; lchown 94 -; fchownat 260 54;
truncate 76 45; ftruncate 77 46; utime 132 -; utimes 235 -; utimensat 280 88; futimesat 261 -;
setxattr 188 5; lsetxattr 189 6; fsetxattr 190 7; removexattr 197 14; lremovexattr 198 15; fremovexattr 199 16;
execveat 322 281
"""
# As a kernel that is older than the call: glibc then takes clone and openat, whose arguments a filter can see.
_UNKNOWN = "clone3 435 435; openat2 437 437"
# A flag or a number in an argument decides: name, the argument's place, bits of which none may be set.
_NEW_NAMESPACES = 0x7E020000  # CLONE_NEW*
_WRITING = 0o20001103  # O_WRONLY, O_RDWR, O_CREAT, O_TRUNC, O_TMPFILE
_REFUSED_BITS = (
    ((56, 220), 0, _NEW_NAMESPACES),  # clone
    ((257, 56), 2, _WRITING),  # openat
    ((2, None), 1, _WRITING),  # open
    ((302, 261), 2, 0xFFFFFFFF),  # prlimit64: to read a limit, but to set none, of another process least of all
    ((109, 154), 0, 0xFFFFFFFF),  # setpgid: only of itself, to a group of its own, as it is started
    ((109, 154), 1, 0xFFFFFFFF),
)
_REFUSED_VALUES = (
    ((72, 25), 1, (8, 10, 15, 1024)),  # fcntl: F_SETOWN, F_SETSIG, F_SETOWN_EX, F_SETLEASE: signals by another way
    ((16, 29), 1, (0x5412, 0x541C, 0x8901, 0x8902)),  # ioctl: TIOCSTI, TIOCLINUX, FIOSETOWN, SIOCSPGRP
)
_GROUP = 12
_NEWEST = 449  # futex_waitv: what has come to Linux after it is unknown to this FFmpeg, and so it stays
_ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}

_LOAD, _IF_EQUAL, _IF_ABOVE, _IF_BITS, _RETURN = 0x20, 0x15, 0x25, 0x45, 0x06
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_NUMBER_AT, _ARCHITECTURE_AT, _ARGUMENTS_AT = 0, 4, 16  # struct seccomp_data; both architectures are little-endian


@functools.cache
def program() -> bytes | None:
    """The filter for this machine, as an array of `struct sock_filter`; None where there is none for it."""
    known = _ARCHITECTURES.get(platform.machine())
    if known is None:
        return None
    column, architecture = known
    code = [
        _step(_LOAD, _ARCHITECTURE_AT),
        _step(_IF_EQUAL, architecture, 1, 0),
        _step(_RETURN, _KILL),  # 32-bit calls have other numbers
        _step(_LOAD, _NUMBER_AT),
        _step(_IF_ABOVE, _NEWEST, 0, 1),
        _step(_RETURN, _ERRNO | errno.ENOSYS),
    ]
    for numbers, argument, bits in _REFUSED_BITS:
        code += _on_argument(numbers[column], argument, [_step(_IF_BITS, bits, 0, 1), _REFUSE])
    for numbers, argument, values in _REFUSED_VALUES:
        steps = [step for value in values for step in (_step(_IF_EQUAL, value, 0, 1), _REFUSE)]
        code += _on_argument(numbers[column], argument, steps)
    answers = sorted({**_numbers(_REFUSED, column, errno.EPERM), **_numbers(_UNKNOWN, column, errno.ENOSYS)}.items())
    # In groups that are stepped over: as it takes a filter in, the kernel runs it for every call that there is.
    for first in range(0, len(answers), _GROUP):
        group = answers[first : first + _GROUP]
        code.append(_step(_IF_ABOVE, group[-1][0], 2 * len(group), 0))
        for number, answer in group:
            code += [_step(_IF_EQUAL, number, 0, 1), _step(_RETURN, _ERRNO | answer)]
    return b"".join([*code, _step(_RETURN, _ALLOW)])


def _numbers(listed: str, column: int, answer: int) -> dict[int, int]:
    numbers = [entry.split()[1 + column] for entry in listed.split(";")]
    return {int(number): answer for number in numbers if number != "-"}


def _step(operation: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("<HBBI", operation, if_true, if_false, value)


_REFUSE = _step(_RETURN, _ERRNO | errno.EPERM)


def _on_argument(number: int | None, argument: int, steps: list[bytes]) -> list[bytes]:
    """Steps on the lower half of a call's argument, after which the number of the call is loaded again."""
    if number is None:
        return []
    steps = [_step(_LOAD, _ARGUMENTS_AT + 8 * argument), *steps, _step(_LOAD, _NUMBER_AT)]
    return [_step(_IF_EQUAL, number, 0, len(steps)), *steps]
