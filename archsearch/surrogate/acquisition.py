"""What a trial promises: the expected improvement over the best so far, as a logarithm.

E[max(0, f − best)] = σ·(φ(z) + z·Φ(z)), z = (μ − best)/σ (Jones, Schonlau & Welch 1998). Far below the best
it underflows; its logarithm does not (Ament et al. 2023, arXiv:2310.20708, section 4.1).
"""

from typing import Final

import numpy as np
from scipy.special import erfcx, log_ndtr

from archsearch.surrogate.algebra import Floats

_FAR: Final = -1.0
_FARTHEST: Final = -1e6
_LOG_SQRT_2PI: Final = 0.5 * np.log(2 * np.pi)
_SQRT_HALF_PI: Final = np.sqrt(np.pi / 2)


def log_expected_improvement(means: Floats, variances: Floats, best: float) -> Floats:
    """Return ln E[max(0, f − best)] of normal f."""
    deviations = np.sqrt(variances)
    z = np.maximum((means - best) / deviations, _FARTHEST)
    found = np.empty_like(z)
    near = z > _FAR
    close, far = z[near], z[~near]
    density = np.exp(-0.5 * close**2 - _LOG_SQRT_2PI)
    found[near] = np.log(density + close * np.exp(log_ndtr(close)))
    found[~near] = -0.5 * far**2 - _LOG_SQRT_2PI + _log_rest(far)
    return np.asarray(found + np.log(deviations))


def _log_rest(z: Floats) -> Floats:
    """Return ln(1 + z·Φ(z)/φ(z)) for z below −1; by its series where the difference loses its digits."""
    direct = 1 + z * erfcx(-z / np.sqrt(2)) * _SQRT_HALF_PI
    with np.errstate(divide="ignore", invalid="ignore"):
        near = np.log(np.maximum(direct, np.finfo(float).tiny))
    return np.where(z > -1e3, near, -2 * np.log(-z))
