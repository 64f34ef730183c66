"""Two things that change their places in one step, so that a path names one or the other at any
moment.
"""

import ctypes
import errno
import os
from pathlib import Path

AT_FDCWD = -100
RENAME_EXCHANGE = 2  # of renameat2(2)
# an old kernel, a network's file system, a sandbox
LACKING = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EPERM)


def exchange(one: Path, other: Path) -> bool:
    """Let two paths of one file system name each other's things from one moment on; False where
    that cannot be done.

    Raises:
        OSError: One of them is not there, or may not be renamed.
    """
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except AttributeError:  # no Linux, or a library without it
        return False
    if rename(AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other), RENAME_EXCHANGE) == 0:
        return True
    if (number := ctypes.get_errno()) in LACKING:
        return False
    raise OSError(number, os.strerror(number), str(other))
