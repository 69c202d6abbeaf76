"""Covariance matrices, factorised: the one thing here whose cost grows with the cube of the trials."""

from contextlib import AbstractContextManager
from functools import cache
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.linalg import lapack
from threadpoolctl import ThreadpoolController

Floats: TypeAlias = npt.NDArray[np.float64]

JITTER = 1e-6
"""What is added to a diagonal, of amplitudes near 1, so that equal points can be told apart."""


def one_thread() -> AbstractContextManager[Any]:
    """Keep linear algebra to one thread for a while.

    Matrices of a hundred rows gain nothing by more, and threads that wait for one another beside trainings
    took fifty times as long.
    """
    limit: AbstractContextManager[Any] = _threads().limit(limits=1, user_api="blas")
    return limit


@cache
def _threads() -> ThreadpoolController:
    return ThreadpoolController()


def factor(matrix: Floats) -> Floats:
    """Return the lower Cholesky factor of a covariance matrix, whose diagonal gets JITTER.

    Raises:
        numpy.linalg.LinAlgError: it is no covariance matrix.
    """
    found, failed = lapack.dpotrf(matrix + JITTER * np.eye(len(matrix)), lower=1, clean=1)
    if failed:
        raise np.linalg.LinAlgError(f"the matrix is not positive definite at row {failed}")
    return np.asarray(found)


def inverse(lower: Floats) -> Floats:
    """Return the inverse of the matrix that a lower Cholesky factor is of."""
    half, _ = lapack.dpotri(lower, lower=1)
    return np.asarray(np.tril(half) + np.tril(half, -1).T)


def solved(lower: Floats, values: Floats) -> Floats:
    """Return K⁻¹ · values, from the lower Cholesky factor of K."""
    return np.asarray(lapack.dpotrs(lower, values, lower=1)[0])


def forward(lower: Floats, values: Floats) -> Floats:
    """Return L⁻¹ · values."""
    return np.asarray(lapack.dtrtrs(lower, values, lower=1)[0])
