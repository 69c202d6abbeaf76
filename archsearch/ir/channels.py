"""Channel counts that are not known yet, so that one builder gives both a network and its FLOP polynomial.

A builder is run with widths. With integers it yields a network; with `Channels` (linear forms such as
`4·stage1 + 64`) every convolution's FLOPs are a product of two linear forms, and the network's FLOPs a
`Quadratic` in the widths: what the budget solver needs, derived from the builder instead of written twice.
"""

from collections.abc import Mapping

from archsearch.errors import GraphError


class Channels:
    """A linear form over named widths: `constant + Σ factor·name`."""

    __slots__ = ("_hash", "constant", "terms")

    def __init__(self, terms: tuple[tuple[str, float], ...], constant: float = 0) -> None:
        self.terms = terms  # sorted by name, no zero factors: equal forms compare equal
        self.constant = constant
        self._hash = hash((terms, constant))

    @classmethod
    def named(cls, name: str) -> "Channels":
        """Return the form that is the width `name` itself."""
        return cls(((name, 1),))

    def __add__(self, other: "Width") -> "Channels":
        if not isinstance(other, Channels):
            return Channels(self.terms, self.constant + other)
        total = dict(self.terms)
        for name, factor in other.terms:
            total[name] = total.get(name, 0) + factor
        terms = tuple(sorted((n, f) for n, f in total.items() if f))
        return Channels(terms, self.constant + other.constant)

    __radd__ = __add__

    def __mul__(self, factor: float) -> "Channels":
        return Channels(tuple((n, f * factor) for n, f in self.terms), self.constant * factor)

    __rmul__ = __mul__

    def times(self, other: "Channels") -> float:
        """Return by what factor this is a multiple of `other`.

        Raises:
            GraphError: it is none.
        """
        factor = self.terms[0][1] / other.terms[0][1]
        if other * factor != self:
            raise GraphError(f"{self} is no multiple of {other}")
        return factor

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Channels)
            and self.terms == other.terms
            and self.constant == other.constant
        )

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        parts = [name if factor == 1 else f"{factor:g}·{name}" for name, factor in self.terms]
        return " + ".join(parts + ([f"{self.constant:g}"] if self.constant or not parts else []))


Width = int | Channels
"""A channel count: an integer in a network, a linear form while its FLOPs are being derived."""


def known(width: Width) -> int:
    """Return a width that must be a number, as every width in a Graph is.

    Raises:
        GraphError: it is a linear form.
    """
    if not isinstance(width, int):
        raise GraphError(f"the width {width} is not known")
    return width


_ONE = ""  # the name that stands for 1 in a Quadratic's terms


class Quadratic:
    """A polynomial of degree two in named widths: `Σ factor·a·b`, `""` standing for 1."""

    __slots__ = ("terms",)

    def __init__(self, terms: Mapping[tuple[str, str], float] | None = None) -> None:
        self.terms = dict(terms or {})

    @classmethod
    def product(cls, a: Width, b: Width, factor: float) -> "Quadratic":
        """Return `factor·a·b`."""
        out: dict[tuple[str, str], float] = {}
        for name_a, value_a in _parts(a):
            for name_b, value_b in _parts(b):
                key = (name_a, name_b) if name_a <= name_b else (name_b, name_a)
                out[key] = out.get(key, 0) + factor * value_a * value_b
        return cls(out)

    def add(self, other: "Quadratic") -> None:
        """Add `other` in place (the accumulator of a whole network)."""
        terms = self.terms
        for key, value in other.terms.items():
            terms[key] = terms.get(key, 0) + value

    def value(self, widths: Mapping[str, float]) -> float:
        """Evaluate at `widths`."""
        total = 0.0
        for (a, b), factor in self.terms.items():
            if a:  # "" sorts first: a named `a` means both are named
                total += factor * widths[a] * widths[b]
            elif b:
                total += factor * widths[b]
            else:
                total += factor
        return total


def _parts(width: Width) -> tuple[tuple[str, float], ...]:
    if not isinstance(width, Channels):
        return ((_ONE, width),)
    return (*width.terms, (_ONE, width.constant)) if width.constant else width.terms
