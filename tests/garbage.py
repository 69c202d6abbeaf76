"""Garbage is not looked for among what stays: the tests, and what they import."""

import gc
from collections.abc import Iterator

import pytest


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
