"""Several families in one space: the family is a knob, so that one study compares design philosophies.

Every family has knobs of its own, but a sampler needs one fixed set. So the union has general ones, and each
family reads them in its own terms: how deep, where the depth goes, and a number of levels that choose among
the values of its other knobs.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import ClassVar

from archsearch.errors import BudgetError
from archsearch.ir.channels import Quadratic, Width
from archsearch.ir.tracer import Tensor, Tracer
from archsearch.space.affordable import out_of_reach
from archsearch.space.budget import Request
from archsearch.space.knobs import ChoiceKnob, Freedom, IntKnob, Knob, Knobs, KnobValue
from archsearch.space.space import Space
from archsearch.space.widths import Pick
from archsearch.units import format_count

DEPTHS = 6
"""Levels of depth, from each family's least to its most."""

LEVELS = 12
"""Levels of a variant: 12 has the divisors 1, 2, 3, 4 and 6, so that a family's values are equally likely."""

_SHAPES = {"early": (1.0, 0.75, 0.5, 0.25), "even": (1.0,) * 4, "late": (0.25, 0.5, 0.75, 1.0)}
"""Shares of the depth over a network's stages, first to last."""


class UnionSpace(Space):
    """Family, depth, where the depth goes, and variants: levels of the family's other knobs, in order.

    Freed rules have levels of their own, `freed1` and on: 0 keeps the rule, whatever the family.

    Attributes:
        usual: the family of the classic, where the budget can pay it.
        compared: whether the families were named to be compared: each family's classic is trained, then.
        families: by name.
    """

    usual: ClassVar[str]
    compared: ClassVar[bool] = False
    rules = ()
    words: ClassVar[Mapping[str, str]] = {
        "family": "the first word is the family; the rest is as in that family's own space"
    }

    def __init__(self, families: Iterable[Space]) -> None:
        self.families = {family.name: family for family in families}

    def tiers(self, request: Request) -> Sequence[tuple[Knob, ...]]:
        """Return the one set there is, with all families; `knobs` keeps those within the budget."""
        return (_knobs(self, tuple(self.families), replace(request, relax=frozenset())),)

    def knobs(self, request: Request) -> tuple[Knob, ...]:
        """Return the knobs to search, with the families that can meet the budget.

        Raises:
            UserError: the request frees a rule that no family holds.
            BudgetError: the budget is out of every family's reach.
        """
        self.check_relaxed(request)
        return _affordable(self, request)

    def reach(self, request: Request) -> tuple[int, int]:
        """Return the smallest and the largest budget that some family can meet."""
        reaches = [s.reach(_asked(s, request)) for s in self.families.values()]
        return min(low for low, _ in reaches), max(high for _, high in reaches)

    def freedoms(self, request: Request) -> Mapping[str, tuple[Freedom, ...]]:
        """Return what each rule opens in the families that hold it; here a level chooses it."""
        found: dict[str, list[Freedom]] = {}
        for name, family in self.families.items():
            for rule, freedoms in family.freedoms(request).items():
                for f in freedoms:
                    knob = replace(f.knob, name=f"{name} {f.knob.name}")
                    found.setdefault(rule, []).append(replace(f, knob=knob))
        return {rule: tuple(freedoms) for rule, freedoms in found.items()}

    def classic(self, knobs: Mapping[str, Knob], request: Request) -> Knobs:
        """Return the usual family (the first there is, without it) in middling depth."""
        families = knobs["family"].values()
        family = self.usual if self.usual in families else families[0]
        levels = {name: 0 for name in knobs if name.startswith(("variant", "freed"))}
        return {"family": family, "depth": DEPTHS // 2, "shape": "even", **levels}

    def classic_knobs(self, request: Request) -> Knobs:
        """Return the knobs of the matched baseline: the same network whatever rules are freed."""
        return self.classic({knob.name: knob for knob in self.knobs(request)}, request)

    def family(self, knobs: Knobs) -> Space:
        """Return the family these knobs choose."""
        return self.families[str(knobs["family"])]

    def within(self, request: Request) -> dict[Space, Request]:
        """Return the families that can meet the budget, each with the request as it concerns it."""
        names = {knob.name: knob for knob in self.knobs(request)}["family"].values()
        found = (self.families[str(name)] for name in names)
        return {family: _asked(family, request) for family in found}

    def own_knobs(self, knobs: Knobs, request: Request) -> dict[str, KnobValue]:
        """Return the family's own knobs, as these choose them."""
        return dict(_own_knobs(self, tuple(knobs.items()), request))

    def widths(self, knobs: Knobs, request: Request, base: float, pick: Pick) -> dict[str, float]:
        """Return the family's widths."""
        family = self.family(knobs)
        return family.widths(self.own_knobs(knobs, request), _asked(family, request), base, pick)

    def least(self, knobs: Knobs, request: Request) -> float:
        """Return the base width below which the family's knobs make no sense."""
        family = self.family(knobs)
        return family.least(self.own_knobs(knobs, request), _asked(family, request))

    def leeway(self, knobs: Knobs, request: Request) -> Mapping[str, float]:
        """Return the family's leeway."""
        family = self.family(knobs)
        return family.leeway(self.own_knobs(knobs, request), _asked(family, request))

    def flops_form(self, knobs: Knobs, request: Request) -> Quadratic:
        """Return the FLOPs of the family's network as a quadratic in its widths."""
        family = self.family(knobs)
        return family.flops_form(self.own_knobs(knobs, request), _asked(family, request))

    def build(
        self, net: Tracer, knobs: Knobs, widths: Mapping[str, Width], request: Request
    ) -> Tensor:
        """Write the family's network."""
        own = self.own_knobs(knobs, request)
        return self.family(knobs).build(net, own, widths, request)

    def held_rules(self, knobs: Knobs, request: Request) -> tuple[str, ...]:
        """Return the family's rules but for the freed ones."""
        return self.family(knobs).held_rules(knobs, request)

    def obeyed(self, knobs: Knobs, request: Request) -> tuple[str, ...]:
        """Return the freed rules of the family that its knobs keep all the same."""
        family = self.family(knobs)
        return family.obeyed(self.own_knobs(knobs, request), _asked(family, request))

    def keeping(self, request: Request) -> Mapping[str, tuple[KnobValue, ...]]:
        """Return nothing: which levels keep a rule depends on the family."""
        return {}

    def left_out(self, request: Request) -> Mapping[str, tuple[KnobValue, ...]]:
        """Return, for each family's knob of a freed rule, its values that the budget cannot pay."""
        return {
            f"{family.name} {name}": values
            for family, asked in self.within(request).items()
            for name, values in family.left_out(asked).items()
        }

    def remarks(self, request: Request) -> tuple[str, ...]:
        """Return a line on the families that the budget does not reach, with what does."""
        within = self.within(request)
        reaches = {
            name: family.reach(_asked(family, request))
            for name, family in self.families.items()
            if family not in within
        }
        if not reaches:
            return ()
        texts = (
            f"{name} ({format_count(low)} to {format_count(high)})"
            for name, (low, high) in reaches.items()
        )
        budget = format_count(request.budget.high)
        return (f"{budget} FLOPs are beyond the reach of {', '.join(texts)}",)

    def next_tier(self, request: Request) -> None:
        """Return None: each family has ranges of its own."""

    def notes(self, knobs: Knobs, widths: Mapping[str, int], request: Request) -> dict[str, object]:
        """Return the family's own knobs and notes."""
        family, own = self.family(knobs), self.own_knobs(knobs, request)
        return {"family_knobs": own, **family.notes(own, widths, request)}

    def label(self, knobs: Knobs, request: Request) -> str:
        """Return the family and its own label, e.g. `resnext 3-4-6-3 G32`."""
        family, own = self.family(knobs), self.own_knobs(knobs, request)
        return f"{family.name} {family.full_label(own, _asked(family, request))}"

    def title_of(self, label: str) -> str:
        """Return the label: it begins with the family."""
        return label

    def full_label(self, knobs: Knobs, request: Request) -> str:
        """Return the label: the family's own says what freed rules gave."""
        return self.label(knobs, request)


def _asked(family: Space, request: Request) -> Request:
    """Return the request as it concerns one family: with those of its own rules freed."""
    if not request.relax:
        return request
    return replace(request, relax=request.relax & family.relaxable)


@lru_cache(maxsize=256)
def _affordable(union: UnionSpace, request: Request) -> tuple[Knob, ...]:
    within = []
    for name, family in union.families.items():
        try:
            family.knobs(_asked(family, request))
        except BudgetError:
            continue
        within.append(name)
    if not within:
        raise out_of_reach(union.name, request, *union.reach(request))
    return _knobs(union, tuple(within), request)


def _knobs(union: UnionSpace, within: tuple[str, ...], request: Request) -> tuple[Knob, ...]:
    # As many levels as any family needs, within the budget or not: the set follows from the rules freed.
    asked = [(space, _asked(space, request)) for space in union.families.values()]
    variants = max(len(_variants(space.tiers(own)[-1])) for space, own in asked)
    freed = max(len(_freedoms(space, own)) for space, own in asked)
    levels = (
        *(f"variant{i}" for i in range(1, variants + 1)),
        *(f"freed{i}" for i in range(1, freed + 1)),
    )
    return (
        ChoiceKnob("family", within),
        IntKnob("depth", 0, DEPTHS - 1),
        ChoiceKnob("shape", tuple(_SHAPES)),
        *(IntKnob(name, 0, LEVELS - 1) for name in levels),
    )


@lru_cache(maxsize=1024)
def _own_knobs(
    union: UnionSpace, chosen: tuple[tuple[str, KnobValue], ...], request: Request
) -> tuple[tuple[str, KnobValue], ...]:
    """Every width that is asked for needs them."""
    knobs = dict(chosen)
    family = union.family(knobs)
    asked = _asked(family, request)
    held = family.knobs(replace(asked, relax=frozenset()))
    own = _translate(held, knobs)
    if asked.relax:
        found = {knob.name: knob.values() for knob in family.knobs(asked)}
        for level, freedom in enumerate(_freedoms(family, asked), start=1):
            # The first choice is what the rule asks for, or what a variant has chosen.
            values = _choices(freedom, {k.name: k for k in held}, found[freedom.knob.name])
            value = values[int(knobs[f"freed{level}"]) * len(values) // LEVELS]
            if value is not None:
                own[freedom.knob.name] = value
            elif freedom.held is not None:
                own[freedom.knob.name] = freedom.held
    return tuple(own.items())


def _variants(knobs: Sequence[Knob]) -> list[Knob]:
    """Return what the variants choose: the family's knobs that are no counts."""
    return [knob for knob in knobs if not isinstance(knob, IntKnob)]


def _freedoms(family: Space, request: Request) -> list[Freedom]:
    """Return what the freed rules open in a family."""
    freedoms = family.freedoms(request)
    return [freedom for rule in sorted(request.relax) for freedom in freedoms[rule]]


def _choices(
    freedom: Freedom, held: Mapping[str, Knob], values: Sequence[KnobValue]
) -> list[KnobValue | None]:
    """Return None, for what keeps the rule, and the values that only the freed rule gives."""
    keep = freedom.held_values(held)
    return [None, *(value for value in values if value not in keep)]


def _translate(knobs: Sequence[Knob], general: Knobs) -> dict[str, KnobValue]:
    """Return a value for each of the family's knobs."""
    own: dict[str, KnobValue] = {}
    counts = [knob for knob in knobs if isinstance(knob, IntKnob)]
    share = int(general["depth"]) / (DEPTHS - 1)
    profile = _SHAPES[str(general["shape"])]
    for i, knob in enumerate(counts):
        # A family with fewer counts than stages takes the profile's ends.
        place = i * (len(profile) - 1) / max(1, len(counts) - 1)
        own[knob.name] = knob.low + round((knob.high - knob.low) * share * profile[round(place)])
    for i, choice in enumerate(_variants(knobs), start=1):
        values = choice.values()
        own[choice.name] = values[int(general[f"variant{i}"]) * len(values) // LEVELS]
    return own


@lru_cache
def union_of(families: tuple[Space, ...]) -> UnionSpace:
    """Return the union of some families, the first of them the usual one.

    Args:
        families: at least two, none of them twice.
    """
    names = [family.name for family in families]
    kind = type(
        "Union",
        (UnionSpace,),
        {
            "name": ",".join(names),
            "title": f"{', '.join(names[:-1])} and {names[-1]}, the family itself a knob",
            "usual": names[0],
            "compared": True,
            **bounds_of(families),
        },
    )
    union: UnionSpace = kind(families)
    return union


def bounds_of(families: Iterable[Space]) -> dict[str, float]:
    """Return the bounds of the base width that hold for all families."""
    found = list(families)
    return {
        "least_base": min(family.least_base for family in found),
        "most_base": max(family.most_base for family in found),
    }
