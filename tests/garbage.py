import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module", autouse=True)
def frameworks_stay() -> Iterator[None]:
    """For tests of networks: Keras collects garbage with each, which takes 0.3 s with all that stays."""
    gc.freeze()
    yield
    gc.unfreeze()
