"""Seeds for one purpose each, derived from a study's own."""

import hashlib


def derive_seed(seed: int, *parts: object) -> int:
    """Return a seed in [0, 2³¹) for one purpose, independent of those for other purposes."""
    text = ":".join(map(str, (seed, *parts)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4]) >> 1
