"""Residual blocks, H(x) = F(x) + x: basic and bottleneck, post- and pre-activation, grouped, with dropout.

He et al. 2015 (arXiv 1512.03385), He et al. 2016 (1603.05027), Zagoruyko & Komodakis 2016 (1605.07146),
Xie et al. 2016 (1611.05431).
"""

from archsearch.ir.channels import Width
from archsearch.ir.tracer import Tensor, Tracer


def basic(
    net: Tracer, x: Tensor, *, inner: Width, filters: Width, stride: int, project: bool
) -> Tensor:
    """Two 3×3 convolutions, each followed by BN: 18HWC² FLOPs when `inner == filters == C`."""
    y = net.relu(net.batch_norm(net.conv(x, inner, kernel=3, stride=stride)))
    y = net.batch_norm(net.conv(y, filters, kernel=3))
    return net.relu(net.add(y, shortcut(net, x, filters, stride=stride, project=project)))


def bottleneck(
    net: Tracer,
    x: Tensor,
    *,
    inner: Width,
    filters: Width,
    stride: int,
    project: bool,
    groups: int = 1,
) -> Tensor:
    """1×1 down, 3×3 (strided, in `groups`), 1×1 up: 17HWC² FLOPs when `inner == C`, `filters == 4C`."""
    y = net.relu(net.batch_norm(net.conv(x, inner, kernel=1)))
    y = net.relu(net.batch_norm(net.conv(y, inner, kernel=3, stride=stride, groups=groups)))
    y = net.batch_norm(net.conv(y, filters, kernel=1))
    return net.relu(net.add(y, shortcut(net, x, filters, stride=stride, project=project)))


def preact_basic(
    net: Tracer,
    x: Tensor,
    *,
    inner: Width,
    filters: Width,
    stride: int,
    project: bool,
    dropout: float = 0.0,
) -> Tensor:
    """BN-ReLU-conv twice, dropout between; nothing but the addition on the shortcut's path."""
    ready = net.relu(net.batch_norm(x))
    y = net.relu(net.batch_norm(net.conv(ready, inner, kernel=3, stride=stride)))
    y = net.conv(net.dropout(y, dropout) if dropout else y, filters, kernel=3)
    return net.add(y, _preact_shortcut(net, x, ready, filters, stride=stride, project=project))


def preact_bottleneck(
    net: Tracer,
    x: Tensor,
    *,
    inner: Width,
    filters: Width,
    stride: int,
    project: bool,
    dropout: float = 0.0,
) -> Tensor:
    """BN-ReLU-conv three times: 1×1, 3×3 (strided), 1×1; dropout before the last."""
    ready = net.relu(net.batch_norm(x))
    y = net.relu(net.batch_norm(net.conv(ready, inner, kernel=1)))
    y = net.relu(net.batch_norm(net.conv(y, inner, kernel=3, stride=stride)))
    y = net.conv(net.dropout(y, dropout) if dropout else y, filters, kernel=1)
    return net.add(y, _preact_shortcut(net, x, ready, filters, stride=stride, project=project))


def shortcut(net: Tracer, x: Tensor, filters: Width, *, stride: int, project: bool) -> Tensor:
    """Return x itself, or its 1×1 projection with BN where shape or width change (option B)."""
    if not project:
        return x
    return net.batch_norm(
        net.conv(x, filters, kernel=1, stride=stride, name="shortcut_conv"),
        name="shortcut_batch_norm",
    )


def _preact_shortcut(
    net: Tracer, x: Tensor, ready: Tensor, filters: Width, *, stride: int, project: bool
) -> Tensor:
    if not project:
        return x
    return net.conv(ready, filters, kernel=1, stride=stride, name="shortcut_conv")
