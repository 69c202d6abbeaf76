"""Residual blocks, H(x) = F(x) + x: basic and bottleneck, post- and pre-activation, grouped, with dropout.

He et al. 2015 (arXiv 1512.03385), He et al. 2016 (1603.05027), Zagoruyko & Komodakis 2016 (1605.07146),
Xie et al. 2016 (1611.05431); stochastic depth: Huang et al. 2016 (1603.09382); gates: Hu et al. 2017
(1709.01507). `plain` leaves the shortcut out: the stacks that ResNet was compared with.
"""

from typing import Literal, NotRequired, TypedDict, Unpack

from archsearch.ir.channels import Width
from archsearch.ir.tracer import Tensor, Tracer


class Ending(TypedDict):
    """How a block's branch ends and meets its shortcut; `project` puts a 1×1 on the shortcut."""

    project: bool
    survival: NotRequired[float]
    """Below 1, the whole branch is dropped in training: stochastic depth."""
    squeezed: NotRequired[Width | None]
    """A squeeze-and-excitation gate of that many hidden units ends the branch."""
    plain: NotRequired[bool]
    """No shortcut."""
    norm: NotRequired[bool]
    """False: no batch normalisation; convolutions have biases."""


def _conv(
    net: Tracer,
    x: Tensor,
    filters: Width,
    *,
    kernel: int,
    norm: bool,
    stride: int = 1,
    groups: Width = 1,
    name: str | None = None,
) -> Tensor:
    """Convolution and BN, or one with a bias."""
    x = net.conv(x, filters, kernel=kernel, stride=stride, groups=groups, bias=not norm, name=name)
    return net.batch_norm(x, name=name and name.replace("conv", "batch_norm")) if norm else x


def _ready(net: Tracer, x: Tensor, norm: bool) -> Tensor:
    """BN and ReLU, as pre-activation branches start."""
    return net.relu(net.batch_norm(x) if norm else x)


def basic(
    net: Tracer, x: Tensor, *, inner: Width, filters: Width, stride: int, **ending: Unpack[Ending]
) -> Tensor:
    """Two 3×3 convolutions, each followed by BN: 18HWC² FLOPs when `inner == filters == C`."""
    norm = ending.get("norm", True)
    y = net.relu(_conv(net, x, inner, kernel=3, stride=stride, norm=norm))
    y = _conv(net, y, filters, kernel=3, norm=norm)
    return _ended(net, x, y, stride=stride, **ending)


def bottleneck(
    net: Tracer,
    x: Tensor,
    *,
    inner: Width,
    filters: Width,
    stride: int,
    groups: Width = 1,
    gate: Width | None = None,
    **ending: Unpack[Ending],
) -> Tensor:
    """1×1 down, 3×3 (strided, in `groups`), 1×1 up: 17HWC² FLOPs when `inner == C`, `filters == 4C`.

    A `gate` of that many hidden units scales what the 3×3 puts out.
    """
    norm = ending.get("norm", True)
    y = net.relu(_conv(net, x, inner, kernel=1, norm=norm))
    y = net.relu(_conv(net, y, inner, kernel=3, stride=stride, groups=groups, norm=norm))
    y = y if gate is None else squeeze_excite(net, y, gate)
    y = _conv(net, y, filters, kernel=1, norm=norm)
    return _ended(net, x, y, stride=stride, **ending)


def padded_basic(
    net: Tracer, x: Tensor, *, filters: int, stride: int, survival: float = 1.0
) -> Tensor:
    """Basic block with the parameter-free shortcut (option A)."""
    y = net.relu(net.batch_norm(net.conv(x, filters, kernel=3, stride=stride)))
    y = net.batch_norm(net.conv(y, filters, kernel=3))
    y = y if survival == 1 else net.drop_path(y, survival)
    return net.relu(net.add(y, padded_shortcut(net, x, filters, stride=stride)))


def preact_basic(
    net: Tracer,
    x: Tensor,
    *,
    inner: Width,
    filters: Width,
    stride: int,
    project: bool,
    dropout: float = 0.0,
    plain: bool = False,
    norm: bool = True,
) -> Tensor:
    """BN-ReLU-conv twice, dropout between; nothing but the addition on the shortcut's path."""
    ready = _ready(net, x, norm)
    y = net.relu(_conv(net, ready, inner, kernel=3, stride=stride, norm=norm))
    y = net.conv(net.dropout(y, dropout) if dropout else y, filters, kernel=3, bias=not norm)
    if plain:
        return y
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
    strided: Literal["1x1", "3x3"] = "3x3",
    plain: bool = False,
    norm: bool = True,
) -> Tensor:
    """BN-ReLU-conv three times: 1×1, 3×3, 1×1, one of the first two strided; dropout before the last."""
    first, second = (stride, 1) if strided == "1x1" else (1, stride)
    ready = _ready(net, x, norm)
    y = net.relu(_conv(net, ready, inner, kernel=1, stride=first, norm=norm))
    y = net.relu(_conv(net, y, inner, kernel=3, stride=second, norm=norm))
    y = net.conv(net.dropout(y, dropout) if dropout else y, filters, kernel=1, bias=not norm)
    if plain:
        return y
    return net.add(y, _preact_shortcut(net, x, ready, filters, stride=stride, project=project))


def padded_preact_basic(net: Tracer, x: Tensor, *, filters: int, stride: int) -> Tensor:
    """BN-ReLU-conv twice with the parameter-free shortcut (option A)."""
    y = net.conv(net.relu(net.batch_norm(x)), filters, kernel=3, stride=stride)
    y = net.conv(net.relu(net.batch_norm(y)), filters, kernel=3)
    return net.add(y, padded_shortcut(net, x, filters, stride=stride))


def squeeze_excite(net: Tracer, x: Tensor, squeezed: Width, *, function: str = "relu") -> Tensor:
    """Scale each channel by a gate: global pool, 1×1 to `squeezed`, ReLU, 1×1 back, sigmoid."""
    with net.scope("squeeze_excite"):
        gate = net.conv(net.global_avg_pool(x, keep_map=True), squeezed, kernel=1, bias=True)
        gate = net.conv(net.activation(gate, function), x.channels, kernel=1, bias=True)
        return net.multiply(x, net.activation(gate, "sigmoid"))


def padded_shortcut(net: Tracer, x: Tensor, filters: int, *, stride: int) -> Tensor:
    """Return x subsampled and padded with zero channels (option A)."""
    if stride > 1:
        x = net.max_pool(x, kernel=1, stride=stride, name="shortcut_pool")
    more = filters - int(x.shape[2])  # type: ignore[arg-type]  # published widths are numbers
    if more:
        x = net.pad_channels(x, before=more // 2, after=more - more // 2, name="shortcut_pad")
    return x


def _ended(
    net: Tracer,
    x: Tensor,
    y: Tensor,
    *,
    stride: int,
    project: bool,
    survival: float = 1.0,
    squeezed: Width | None = None,
    plain: bool = False,
    norm: bool = True,
) -> Tensor:
    """Gate and drop the branch `y`, add the shortcut (its 1×1 projection: option B), rectify."""
    if squeezed is not None:
        y = squeeze_excite(net, y, squeezed)
    if survival < 1:
        y = net.drop_path(y, survival)
    if not plain:
        if project:
            name = "shortcut_conv"
            x = _conv(net, x, y.channels, kernel=1, stride=stride, norm=norm, name=name)
        y = net.add(y, x)
    return net.relu(y)


def _preact_shortcut(
    net: Tracer, x: Tensor, ready: Tensor, filters: Width, *, stride: int, project: bool
) -> Tensor:
    if not project:
        return x
    return net.conv(ready, filters, kernel=1, stride=stride, name="shortcut_conv")
