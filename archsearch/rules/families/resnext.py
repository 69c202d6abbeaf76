"""ResNeXt's width from equal FLOPs: G parallel bottleneck paths of width c in place of one of width C.

The bottleneck block on 4C channels costs 17HWC²: 4C·C + 9C·C + C·4C. G paths of width c cost
(4C·c + 9c·c + c·4C)·G each position, so equal cost means 9Gc² + 8GCc − 17C² = 0 (Xie et al. 2016, arXiv
1611.05431, section 3.3; the lecture's ResNeXt part).
"""

from math import sqrt

from archsearch.errors import UserError


def path_width(C: float, G: float) -> float:
    """Return c, the width of each of `G` paths that together cost as much as a bottleneck of width `C`.

    >>> round(path_width(64, 4), 6), round(path_width(64, 32), 6)
    (23.93216, 3.972591)

    Raises:
        UserError: a number is not positive.
    """
    _positive(C=C, G=G)
    # 9G·c² + 8GC·c − 17C² = 0, the positive root, written so that no digits cancel.
    return 17 * C / (4 * G + sqrt(16 * G * G + 153 * G))


def cardinality(C: float, c: float) -> float:
    """Return G, the number of paths of width `c` that cost as much as a bottleneck of width `C`.

    Raises:
        UserError: a number is not positive.
    """
    _positive(C=C, c=c)
    return 17 * C * C / (c * (9 * c + 8 * C))


def flops_change(C: float, G: float, c: float) -> float:
    """Return by what share a block of `G` paths of width `c` costs more (+) or less (−) than 17C².

    >>> f"{flops_change(64, 32, 4):+.2%}"
    '+0.74%'
    """
    _positive(C=C, G=G, c=c)
    return (9 * G * c * c + 8 * G * C * c) / (17 * C * C) - 1


def _positive(**numbers: float) -> None:
    for name, value in numbers.items():
        if not value > 0:
            raise UserError(f"{name} must be positive, got {value:g}")
