"""Keeping freed memory for the next training step."""

import ctypes
import platform

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4  # malloc.h of glibc


def keep_freed_memory() -> bool:
    """Tell glibc's allocator not to hand large freed blocks back to the system; returns whether it could be told (Linux with glibc).

    A training step on the CPU allocates gigabytes of activations and frees them again. By default each large block is a fresh mapping whose pages the
    kernel has to clear: without that a step of the n model at 512 px was 1.2 times as fast (benchmarks/RESULTS.md).
    """
    if platform.system() != "Linux" or platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    return all(libc.mallopt(option, value) == 1 for option, value in ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, 2**31 - 1), (M_TOP_PAD, 64 * 2**20)))
