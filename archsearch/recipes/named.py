"""Recipes by name: the default, a long one, and those of papers, from which figures can be reproduced."""

import difflib
from dataclasses import dataclass, fields
from typing import Any, Final

from archsearch.errors import UserError
from archsearch.recipes.recipe import Recipe, with_parts
from archsearch.settings import RunSettings

_OF_256: Final = 256 / 224
"""Crops of 224 pixels out of images of 256, as a factor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A recipe with what a person should know of it.

    Attributes:
        recipe: the recipe.
        purpose: what it is for.
        source: where it is from, and what is not as there.
        epochs: how long its source trains; None: as long as you like.
        baselines: names of the published networks that were trained so.
    """

    recipe: Recipe
    purpose: str
    source: str
    epochs: int | None = None
    baselines: tuple[str, ...] = ()

    def parts(self) -> dict[str, Any]:
        """Return the parts that are not the default's, by name."""
        default = Recipe()
        return {
            part.name: getattr(self.recipe, part.name)
            for part in fields(Recipe)
            if part.name != "name"
            and getattr(self.recipe, part.name) != getattr(default, part.name)
        }


def _paper(name: str, batch: int, rate: float, **parts: Any) -> Recipe:
    """Return plain SGD with momentum in steps, as papers had it; `rate` is for their own batch.

    What stalls is not tried at another rate: that would be another recipe's figure.
    """
    plain: dict[str, Any] = {
        "linear_batch": None,
        "unnormalized_lr": 1.0,
        "unnormalized_head_lr": 1.0,
        "unnormalized_batch": None,
        "nesterov": False,
        "weight_decay": 1e-4,
        "label_smoothing": 0.0,
        "schedule": "step",
        "warmup": 0.0,
        "clip_norm": None,
        "dropout_epochs": None,
        "centred_init": False,
        "retry_rate": None,
    }
    return Recipe(name=name, batch=batch, base_lr=rate * 256 / batch, **{**plain, **parts})


_GENERAL = (
    Named(
        recipe=Recipe(),
        purpose="trials of a few epochs, for every space",
        source="measured on this project's spaces",
    ),
    Named(
        recipe=Recipe(
            name="long",
            batch=128,
            base_lr=0.4,
            unnormalized_lr=0.8,
            unnormalized_head_lr=0.8,
            warmup=0.05,
            ema=0.999,
            randaugment=1,
            magnitude=6,
            mixup=0.2,
            cutmix=1.0,
            mixed=0.5,
        ),
        purpose="small networks, 50 epochs or more: averaged weights, mixed images, a long way down",
        source="He et al. 2019 (arXiv:1812.01187), Cubuk et al. 2020, Zhang et al. 2018, Yun et al. 2019; "
        "mild, for small networks underfit",
    ),
)

# He et al. 2015 train for 64,000 steps of 128 images: 182 epochs of the 45,000 that are left to train on.
_CIFAR = (
    Named(
        recipe=_paper("resnet2015", 128, 0.1),
        purpose="CIFAR, the lecture's schedule",
        source="He et al. 2015 (arXiv:1512.03385), section 4.2",
        epochs=182,
        baselines=(
            "resnet20_cifar", "resnet32_cifar", "resnet44_cifar", "resnet56_cifar", "resnet110_cifar",
        ),
    ),
    Named(
        recipe=_paper("preact2016", 128, 0.1, warmup=400 / 64_000),
        purpose="CIFAR, 100 layers and more",
        source="He et al. 2016 (arXiv:1603.05027), appendix; the rate rises over its 400 steps at 0.01",
        epochs=182,
        baselines=("preact_resnet110_cifar", "preact_resnet164_cifar", "preact_resnet1001_cifar"),
    ),
    Named(
        recipe=_paper(
            "wrn2016", 128, 0.1, nesterov=True, weight_decay=5e-4,
            milestones=(0.3, 0.6, 0.8), milestone_factor=0.2,
        ),
        purpose="CIFAR, wide networks",
        source="Zagoruyko & Komodakis 2016 (arXiv:1605.07146), section 3; padded with the mean colour",
        epochs=200,
        baselines=("wrn_16_8", "wrn_22_8", "wrn_28_10", "wrn_40_4", "wrn_40_8"),
    ),
    Named(
        recipe=_paper("stochastic_depth2016", 128, 0.1, nesterov=True),
        purpose="CIFAR, blocks dropped at random",
        source="Huang et al. 2016 (arXiv:1603.09382), section 4",
        epochs=500,
        baselines=("resnet110_stochastic_depth",),
    ),
    Named(
        recipe=_paper("resnext2016", 128, 0.1, weight_decay=5e-4),
        purpose="CIFAR, grouped bottlenecks",
        source="Xie et al. 2016 (arXiv:1611.05431), section 5.3",
        epochs=300,
        baselines=("resnext29_8x64d", "resnext29_16x64d"),
    ),
    Named(
        recipe=_paper("densenet2017", 64, 0.1, nesterov=True),
        purpose="CIFAR, dense blocks",
        source="Huang et al. 2017 (arXiv:1608.06993), section 4.2",
        epochs=300,
        baselines=("densenet40_12", "densenet_bc_100_12", "densenet_bc_190_40"),
    ),
    Named(
        recipe=_paper(
            "fractal2017", 100, 0.02, weight_decay=0.0, milestones=(0.5, 0.75, 0.875, 0.9375)
        ),
        purpose="CIFAR, fractals with drop-path",
        source="Larsson et al. 2017 (arXiv:1605.07648), section 4.1; it names no decay",
        epochs=400,
        baselines=("fractalnet20",),
    ),
    Named(
        recipe=_paper("nin2013", 128, 0.1, milestones=(100 / 120, 115 / 120)),
        purpose="CIFAR, without normalization",
        source="Lin et al. 2013 (arXiv:1312.4400), section 4: batch, two falls of the rate; numbers of the "
        "authors' solver",
        epochs=307,
        baselines=("nin_cifar",),
    ),
)  # fmt: skip

_IMAGENET = (
    Named(
        recipe=_paper(
            "alexnet2012", 128, 0.01, weight_decay=5e-4, milestones=(0.25, 0.5, 0.75),
            shift=0.0, scale=(_OF_256, _OF_256), pca_colour=0.1, test_crops=10,
        ),
        purpose="large images: crops, mirror, colours, ten crops in the test",
        source="Krizhevsky et al. 2012, sections 4.1 and 5; the rate fell by hand, here after each quarter",
        epochs=90,
        baselines=("alexnet", "alexnet_2012"),
    ),
    Named(
        recipe=_paper(
            "vgg2014", 256, 0.01, weight_decay=5e-4, milestones=(0.25, 0.5, 0.75),
            shift=0.0, scale=(_OF_256, 2 * _OF_256), pca_colour=0.1, test_crops=10,
        ),
        purpose="large images at many scales",
        source="Simonyan & Zisserman 2014 (arXiv:1409.1556), section 3.1, S from 256 to 512; the rate "
        "falls after each quarter, ten crops in place of fifty",
        epochs=74,
        baselines=("vgg11", "vgg13", "vgg16", "vgg19"),
    ),
    Named(
        recipe=_paper(
            "resnet2015_imagenet", 256, 0.1, milestones=(0.25, 0.5, 0.75),
            shift=0.0, scale=(_OF_256, 480 / 224), pca_colour=0.1, test_crops=10,
        ),
        purpose="large images, residual networks",
        source="He et al. 2015 (arXiv:1512.03385), section 3.4; the rate fell on plateaus, "
        "here after each quarter",
        epochs=120,
        baselines=("resnet18", "resnet34", "resnet50", "resnet101", "resnet152"),
    ),
    Named(
        recipe=_paper(
            "squeezenet2016", 512, 0.04, weight_decay=2e-4, schedule="cosine",
            shift=0.0, scale=(256 / 227, 256 / 227),
        ),
        purpose="large images, without normalization",
        source="Iandola et al. 2016 (arXiv:1602.07360), the authors' solver; a cosine in place "
        "of its straight line",
        epochs=68,
        baselines=("squeezenet1_0", "squeezenet1_1"),
    ),
    Named(
        recipe=_paper(
            "senet2017", 1024, 0.6, milestones=(0.3, 0.6, 0.9), shift=0.0, crop_area=0.08
        ),
        purpose="large images in large batches",
        source="Hu et al. 2017 (arXiv:1709.01507), section 6.1",
        epochs=100,
        baselines=("seresnet50", "seresnext50_32x4d"),
    ),
    Named(
        recipe=_paper(
            "mobilenet2018", 96, 0.045, weight_decay=4e-5, schedule="cosine",
            shift=0.0, crop_area=0.08,
        ),
        purpose="large images, depthwise convolutions",
        source="Sandler et al. 2018 (arXiv:1801.04381), section 6.1: rate, decay, batch; SGD in place of "
        "RMSProp, a cosine in place of 2 % less an epoch, crops of Szegedy et al. 2014",
        epochs=300,
        baselines=("mobilenet_v2",),
    ),
)  # fmt: skip

NAMED: Final = (*_GENERAL, *_CIFAR, *_IMAGENET)
"""All of them, default first."""


def recipe_names() -> tuple[str, ...]:
    """List the names `find_recipe` knows, default first."""
    return tuple(named.recipe.name for named in NAMED)


def find_recipe(name: str) -> Recipe:
    """Find the recipe of that name.

    Raises:
        UserError: there is none; the message has the nearest match.
    """
    return find_named(name).recipe


def find_named(name: str) -> Named:
    """Find the recipe of that name, with what is known of it.

    Raises:
        UserError: there is none; the message has the nearest match, or the one of a baseline of that name.
    """
    for named in NAMED:
        if named.recipe.name == name:
            return named
    of_baseline = [named.recipe.name for named in NAMED if name in named.baselines]
    near = of_baseline or difflib.get_close_matches(name, recipe_names(), n=1, cutoff=0.4)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(recipe_names())}"
    raise UserError(f"no recipe {name!r}; {hint}")


def recipe_for(settings: RunSettings) -> Recipe:
    """Return the recipe a run asks for: the one of that name, with the parts that are set.

    Raises:
        UserError: as `find_recipe` and `with_parts` do.
    """
    return with_parts(find_recipe(settings.recipe), settings.parts())


def recipes_markdown() -> str:
    """Return the table of docs/recipes.md."""
    lines = [
        "| recipe | what it is for | source | epochs there | baselines | parts that are not the default's |",
        "|---|---|---|---|---|---|",
    ]
    for named in NAMED:
        parts = ", ".join(f"`{part}={written(v)}`" for part, v in named.parts().items()) or "–"
        baselines = ", ".join(f"`{name}`" for name in named.baselines) or "–"
        lines.append(
            f"| `{named.recipe.name}` | {named.purpose} | {named.source} | {named.epochs or '–'} "
            f"| {baselines} | {parts} |"
        )
    return "\n".join(lines)


def written(value: Any) -> str:
    """Write a value as `--set` takes it."""
    if value is None:
        return "none"
    if isinstance(value, tuple):
        return ",".join(map(written, value))
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.6g}" if isinstance(value, float) else str(value)
