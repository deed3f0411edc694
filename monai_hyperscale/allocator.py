"""Freed memory that stays with the process, so that the maps of one layer need no new pages for those of the next."""

from __future__ import annotations

import ctypes
import os
import sys

# Parameters of mallopt(3), of malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_ENVIRONMENT = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES", "LD_PRELOAD")


def keep_freed_memory(largest: int = 2**28) -> bool:
    """Let glibc keep what is freed, for arrays of up to ``largest`` bytes; return whether it does, on Linux with glibc.

    By default arrays of a few MB go back to the system, and the next begins with a page fault for every 4 KiB: 3 to 44
    % of an inference on a CPU. What an environment variable says, or another allocator that it loads, is left alone.
    """
    if not sys.platform.startswith("linux") or any(os.environ.get(name) for name in _ENVIRONMENT):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
        ctypes.CDLL(None).gnu_get_libc_version  # noqa: B018  musl has a mallopt too, which does nothing
    except (AttributeError, OSError):
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, largest)) and bool(mallopt(_M_TRIM_THRESHOLD, 4 * largest))
