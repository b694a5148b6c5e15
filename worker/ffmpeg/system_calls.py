"""System calls that Python has no function for."""

from __future__ import annotations

import ctypes
import functools
import os


def system_call(number: int, *arguments: int | bytes | ctypes.Structure) -> int:
    """Make one; the C library's own functions are for those that it knows.

    Raises `OSError` if the kernel refuses.
    """
    words = [_word(each) for each in (number, *arguments)]
    answer: int = _libc().syscall(*words)
    if answer < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return answer


def set_process_option(option: int, value: int) -> None:
    """Call prctl(2). Raises `OSError` if the kernel refuses."""
    if _libc().prctl(*map(_word, (option, value, 0, 0, 0))) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _word(argument: int | bytes | ctypes.Structure) -> object:
    """A whole word: a variadic C function takes the upper half of an int from anywhere."""
    if isinstance(argument, ctypes.Structure):
        return ctypes.byref(argument)
    return argument if isinstance(argument, bytes) else ctypes.c_long(argument)


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
