"""Garbage is not looked for among what stays: the tests, and what they import."""

import gc
from collections.abc import Iterator
from typing import Final

import psutil
import pytest

LARGE_BYTES: Final = 3 * 2**30
"""Memory of a process from which on the garbage of earlier modules is worth a look."""


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


@pytest.fixture(scope="module", autouse=True)
def frameworks_stay() -> Iterator[None]:
    """To look through them all takes 0.3 s, and Keras asks for it with each network."""
    gc.freeze()
    yield
    gc.unfreeze()
    if psutil.Process().memory_info().rss > LARGE_BYTES:
        gc.collect()
