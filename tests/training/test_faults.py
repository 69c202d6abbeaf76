import errno
import os

import pytest

from archsearch.errors import DataError, GraphError
from archsearch.training.faults import cause_of, disk_fails, gpu_is_lost, memory_ran_out

pytestmark = pytest.mark.faults


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "w.npz"), "machine"),
        (OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)), "machine"),
        (OSError(errno.EIO, os.strerror(errno.EIO)), "machine"),
        (OSError(errno.EROFS, os.strerror(errno.EROFS)), "machine"),
        (FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "images.npy"), "machine"),
        (OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)), "network"),
        (OSError("could not get source code"), "network"),
        (DataError("no prepared dataset"), "machine"),
        (GraphError("48 channels"), "network"),
        (MemoryError(), "network"),
        (RuntimeError("; No space left on device [Op:WriteFile]"), "machine"),
        (ValueError("shapes differ"), "network"),
    ],
)
def test_what_an_error_is_due_to(error: BaseException, cause: str):
    assert cause_of(error) == cause


@pytest.mark.parametrize(
    ("error", "ran_out"),
    [
        (MemoryError(), True),
        (OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)), True),
        # As PyTorch, TensorFlow and JAX say it, of a processor and of a GPU.
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 4"), True),
        (RuntimeError("could not create a primitive"), True),  # oneDNN, on a processor
        (RuntimeError("could not create a primitive descriptor for a convolution"), False),
        (RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`"), True),
        (
            ValueError("OOM when allocating tensor with shape[1000000,10000000] and type float"),
            True,
        ),
        (RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 40000000000000 bytes."), True),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), False),
        (RuntimeError("; No space left on device [Op:WriteFile]"), False),
        (ValueError("shapes differ"), False),
    ],
)
def test_memory_that_ran_out(error: BaseException, ran_out: bool):
    assert memory_ran_out(error) is ran_out
    wrapped = RuntimeError("the training step failed")
    wrapped.__cause__ = error
    assert memory_ran_out(wrapped) is ran_out


def test_pytorch_says_it_so():
    torch = pytest.importorskip("torch")
    with pytest.raises(RuntimeError) as caught:
        torch.empty(10**15)
    assert memory_ran_out(caught.value)


def test_an_error_wrapped_by_a_library_is_still_the_disks():
    wrapped = RuntimeError("backend compiler failed")
    wrapped.__cause__ = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert cause_of(wrapped) == "machine"
    assert disk_fails(wrapped)
    assert not disk_fails(FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)))


@pytest.mark.parametrize(
    ("reason", "lost"),
    [
        # As PyTorch, TensorFlow, JAX and the driver say it.
        ("RuntimeError: No CUDA-capable device is detected", True),
        ("InternalError: failed call to cuInit: CUDA_ERROR_NO_DEVICE", True),
        ("RuntimeError: Unable to initialize backend 'cuda': ...", True),
        ("AcceleratorError: CUDA error: uncorrectable ECC error encountered", True),
        ("RuntimeError: CUDA error: all CUDA-capable device(s) is/are busy or unavailable", True),
        ("AcceleratorError: CUDA error: unspecified launch failure", True),
        ("InternalError: failed to get device attribute 13 for device 0: CUDA_ERROR_UNKNOWN", True),
        ("XlaRuntimeError: FAILED_PRECONDITION: No visible GPU devices.", True),
        ("XlaRuntimeError: INTERNAL: CUDA error: CUDA_ERROR_LAUNCH_FAILED", True),
        ("AcceleratorError: CUDA error: device-side assert triggered", False),
        ("RuntimeError: CUDA error: an illegal memory access was encountered", False),
        ("OutOfMemoryError: CUDA out of memory", False),
    ],
)
def test_a_gpu_that_is_lost(reason: str, lost: bool):
    assert gpu_is_lost(reason) is lost
