"""Keeping freed memory for the next training step."""

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h


def keep_freed_memory() -> bool:
    """Tell glibc not to hand large freed blocks back to the system.

    By default each activation map above 32 MiB is unmapped when freed and its pages are
    faulted in anew in the next step. Keeping them made a training step on two CPU cores
    1.2 to 1.3 times faster (MixNet-S SSDLite, 16 images of 160 x 160).

    Returns:
        True if the C library took the settings; False on other systems than Linux.
    """
    if not sys.platform.startswith("linux"):
        return False
    library = ctypes.CDLL(None)
    if not hasattr(library, "mallopt"):
        return False
    kept = library.mallopt(_M_MMAP_THRESHOLD, 2**30)
    return bool(kept and library.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1))
