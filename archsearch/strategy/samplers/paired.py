"""The sampler `pairs`: what a design rule is worth, on networks that differ in nothing else.

A network is drawn by chance with the rule held, then the same knobs with the rule broken by chance. Trials
end once the effect is known (archsearch.statistics.sequential), which may be looked at after every pair.
"""

from collections.abc import Iterator
from random import Random
from typing import Final

from archsearch.archive.orders import Trial
from archsearch.errors import UserError
from archsearch.space.knobs import Knobs
from archsearch.statistics.sequential import effect
from archsearch.strategy.pairing import Member, accuracy_of, breaks, differences, pairs_of
from archsearch.strategy.sampler import Choices, Known

_DRAWS: Final = 64


class PairSampler:
    """Proposes pairs: knobs that keep the freed rules, then the same but for what breaks them.

    Raises:
        UserError: no rule is freed, or the budget can pay nothing that breaks one.
    """

    def __init__(self, choices: Choices) -> None:
        if not choices.keeping:
            raise UserError(
                "the sampler pairs compares networks that keep a design rule with such that break it; "
                "free one that a single space holds, as --relax channel-doubling"
            )
        self._choices = choices
        self._keeping = choices.keeping
        self._values = {knob.name: knob.values() for knob in choices.knobs}
        if not breaks(choices.knobs, choices.keeping):
            raise UserError(
                "within this budget nothing can be tried that breaks the freed rule; give more --flops"
            )

    def propose(self, known: Known) -> Iterator[Knobs]:
        """Yield a network that keeps the rule; after such a one, those that break it alone."""
        waiting = self._waiting(known)
        for attempt in range(_DRAWS):
            rng = Random(known.seed_of("pairs", attempt))
            knobs = self._held(rng) if waiting is None else self._broken(waiting.knobs, rng)
            if (waiting is None) == self._keeps(knobs):
                yield knobs

    def enough(self, known: Known) -> str:
        """Return what the rule brings, once that is known."""
        if self._waiting(known) is not None:
            return ""
        members = [self._member(trial) for trial in known.trials]
        images = self._choices.val_images
        found = effect(
            differences(pairs_of(members, freed=self._keeping)),
            margin=self._choices.margin,
            resolution=100 / images if images else 0.0,
        )
        if found.answer.is_open:
            return ""
        return (
            f"in {found.n} pairs the rule {found.answer.value}, {found.mean:+.1f} points "
            f"[{found.low:.1f}, {found.high:.1f}]"
        )

    def _waiting(self, known: Known) -> Trial | None:
        """Return the last trial, if it keeps the rule and waits for its partner."""
        last = known.trials[-1] if known.trials else None
        if last is None or not last.design.exists or not self._keeps(last.knobs):
            return None
        return last

    def _held(self, rng: Random) -> Knobs:
        # Knobs in their order, freed ones with the values of the rule held: so that one seed draws the same
        # networks whichever rule is freed.
        return {
            name: rng.choice(self._keeping.get(name, values))
            for name, values in self._values.items()
        }

    def _broken(self, knobs: Knobs, rng: Random) -> Knobs:
        drawn = {name: rng.choice(self._values[name]) for name in self._keeping}
        return {**knobs, **drawn}

    def _keeps(self, knobs: Knobs) -> bool:
        return all(knobs[name] in kept for name, kept in self._keeping.items())

    def _member(self, trial: Trial) -> Member:
        return Member(
            number=trial.number,
            knobs=trial.knobs,
            keeps=self._keeps(trial.knobs),
            accuracy=accuracy_of(trial, guessing=self._choices.guessing),
        )
