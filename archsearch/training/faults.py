"""Whose fault an error in a worker is: the network's own, or one that hits every network alike."""

import errno
import os
import re
from collections.abc import Iterator
from typing import Final

from archsearch.errors import DataError
from archsearch.training.job import Cause

_OWN: Final = (errno.ENOMEM,)
"""Numbers of errors that a smaller network may not meet."""
_OF_THE_DISK: Final = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.ESTALE)
"""Numbers of errors that libraries put into words of their own: the system's words are among them."""
_LOST_GPU: Final = re.compile(
    r"no CUDA-capable device|CUDA_ERROR_NO_DEVICE|CUDA_ERROR_DEVICE_UNAVAILABLE|"
    r"device\(s\) is/are busy or unavailable|CUDA_ERROR_ECC_UNCORRECTABLE|uncorrectable ECC|"
    r"fallen off the bus|GPU is lost|CUDA_ERROR_SYSTEM_NOT_READY|system not yet initialized|"
    r"CUDA driver initialization failed|Unable to initialize backend 'cuda'|"
    r"unspecified launch failure|CUDA_ERROR_LAUNCH_FAILED|hardware stack error|"
    r"failed to get device|No visible GPU devices|no supported devices found for platform CUDA",
    re.IGNORECASE,
)
"""What CUDA, and the frameworks on it, say of a GPU that is not there any more, or does not work.

A worker is started anew and tries again before that counts. An illegal address and an assertion on the device
are a program's own faults.
"""


OUT_OF_MEMORY: Final = "out of memory"
"""Begins the reason of a training that needed more memory than there was."""
_NO_MEMORY: Final = re.compile(
    r"out of memory|RESOURCE_EXHAUSTED|OOM when allocating|n[o']t allocate memory|not enough memory|"
    r"_ALLOC_FAILED|could not create a (memory|primitive)(?! descriptor)",
    re.IGNORECASE,
)
"""What frameworks say who get no memory, of a processor or a GPU; some have no type of error for it."""


def memory_ran_out(error: BaseException) -> bool:
    """Whether an error, or one behind it, is that there is no more memory."""
    return any(
        isinstance(one, MemoryError)
        or (isinstance(one, OSError) and one.errno in _OWN)
        or _NO_MEMORY.search(str(one)) is not None
        for one in _chain(error)
    )


def cause_of(error: BaseException) -> Cause:
    """Return what an error in a training is due to, as far as it tells."""
    return "machine" if any(map(_is_the_machines, _chain(error))) else "network"


def disk_fails(error: BaseException) -> bool:
    """Whether an error, or one behind it, is that a disk is full, gone, broken or only to be read."""
    return any(map(_is_the_disks, _chain(error)))


def gpu_is_lost(reason: str) -> bool:
    """Whether a failure's reason says that the GPU is not there any more."""
    return _LOST_GPU.search(reason) is not None


def _is_the_machines(error: BaseException) -> bool:
    if isinstance(error, DataError):  # every network trains on the same images
        return True
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno not in _OWN
    return _is_the_disks(error)


def _is_the_disks(error: BaseException) -> bool:
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in _OF_THE_DISK
    return any(os.strerror(number) in str(error) for number in _OF_THE_DISK)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Give an error and those behind it: libraries wrap what the system says."""
    seen: set[int] = set()
    found: BaseException | None = error
    while found is not None and id(found) not in seen:
        seen.add(id(found))
        yield found
        found = found.__cause__ or found.__context__
