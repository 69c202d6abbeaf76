"""What studies say of their spaces: figures, verdicts, and what is no sample."""

from dataclasses import replace

import numpy as np
import pytest

from archsearch.archive.facts import DatasetFacts
from archsearch.archive.leaderboard import Row, StudyResult
from archsearch.comparison.spaces import distributions
from archsearch.settings import RunSettings


def study(name: str, errors, *, each: int = 19_500_000, rows=(), **settings) -> StudyResult:
    asked = {"space": name, "flops": "20M", "sampler": "random", "fidelity": "none", **settings}
    made = tuple(row(number, error, flops=each) for number, error in enumerate(errors))
    return StudyResult(
        study=f"s-{name}", status="complete", settings=RunSettings(**asked),
        dataset=DatasetFacts(name="digits"), rows=(*made, *rows),
    )  # fmt: skip


def row(number: int, error: float | None, **changes) -> Row:
    made = Row(
        name=f"trial-{number:04}", label=str(number), role="candidate", origin="search",
        flops=19_500_000, fill=0.97, params=1, activation_bytes=1, graph=str(number),
        val_accuracy=None if error is None else 1 - error, status="complete",
    )  # fmt: skip
    return replace(made, **changes)


def errors(seed: int, count: int, shift: float = 0.0) -> list[float]:
    return (0.05 + shift + 0.02 * np.random.default_rng(seed).gamma(2, size=count)).tolist()


def test_a_space_that_errs_less_is_told():
    found = distributions([study("b", errors(0, 25, 0.05)), study("a", errors(1, 25))])
    assert found is not None
    assert [one.study for one in found.members] == ["s-a", "s-b"]
    (pair,) = found.contrasts
    assert pair.verdict == "s-a errs less"
    assert pair.median.low > 0
    assert pair.median.value == pytest.approx(0.05, abs=0.02)
    assert pair.p_adjusted < 0.001
    assert pair.needed is None
    assert found.k == 10
    assert not found.weighted
    assert found.cautions == ()
    first = found.members[0]
    assert first.steps[-1] == (first.worst, pytest.approx(1))
    assert first.best.value < first.lower < first.median.value < first.upper < first.worst


def test_two_draws_of_one_space_are_no_verdict_and_say_how_many_would_be():
    found = distributions([study("a", errors(0, 20)), study("b", errors(1, 20))])
    assert found is not None
    (pair,) = found.contrasts
    assert pair.p_adjusted > 0.05
    assert pair.needed is not None
    assert pair.verdict.startswith("no verdict")
    assert f"{pair.needed:,}" in pair.verdict


def test_of_several_pairs_each_p_value_is_raised():
    found = distributions([study(n, errors(s, 20, 0.01 * s)) for s, n in enumerate("abcd")])
    assert found is not None
    assert len(found.contrasts) == 6
    assert all(pair.p_adjusted >= pair.test.p_value for pair in found.contrasts)
    assert min(p.p_adjusted for p in found.contrasts) == pytest.approx(
        6 * min(p.test.p_value for p in found.contrasts)
    )


def test_what_is_no_random_sample_is_said():
    guided = study("a", errors(0, 6), sampler="gp")
    rungs = study("b", errors(1, 6), rows=[row(7, 0.9, rung=0), row(8, 0.01, rung=2)])
    cut = study(
        "c", errors(2, 6), rows=[row(7, 0.9, status="pruned"), row(8, None, status="failed")]
    )
    found = distributions([guided, cut])
    assert found is not None
    assert found.cautions == (
        "s-a is no random sample of its space: its networks were chosen by the sampler gp; its figures "
        "say what was tried",
        "s-c is no random sample of its space: 1 training that seemed hopeless stopped early; its figures "
        "say what was tried",
        "s-c: 1 network failed, which is left out",
    )
    assert distributions([rungs]) is None  # one alone trained in full
    assert [one.n for one in found.members] == [6, 6]


def test_what_diverged_counts_with_what_guessing_gives():
    diverged = row(7, None, status="failed", stalled=True)
    data = DatasetFacts(name="digits", common_share=0.11)
    found = distributions([replace(study("a", errors(0, 5), rows=[diverged]), dataset=data)])
    assert found is not None
    (one,) = found.members
    assert (one.n, one.failed, one.stalled) == (6, 0, 1)
    assert one.worst == pytest.approx(0.89)
    assert found.cautions == ("s-a: 1 network learnt nothing, which is taken for guessing",)


def test_a_space_of_few_networks_says_how_many_it_has():
    """At 9 M FLOPs on the digits the resnet space has 16 settings."""
    data = DatasetFacts(name="digits", input=(32, 32, 1), classes=tuple("0123456789"))
    small, large = (
        study("resnet", errors(0, 10), flops="9M"),
        study("vgg", errors(1, 10), flops="9M"),
    )
    found = distributions([replace(one, dataset=data) for one in (small, large)])
    assert found is not None
    few = next(one for one in found.members if one.space == "resnet")
    assert few.settings == 16
    assert found.cautions == ("s-resnet: 10 of the 16 settings that its space has at this budget",)
    (pair,) = found.contrasts
    assert pair.needed is not None
    assert pair.verdict.startswith("no verdict; at this budget there are too few networks")


def test_the_baseline_is_none_of_the_sample():
    classic = row(9, 0.0, origin="matched", role="baseline")
    found = distributions([study("a", errors(0, 5), rows=[classic])])
    assert found is not None
    assert found.members[0].n == 5
    assert found.contrasts == ()


def test_budgets_that_differ_are_weighted_or_said():
    near = [
        row(n, e, flops=f)
        for n, (e, f) in enumerate(zip(errors(0, 40), range(10, 50), strict=True))
    ]
    far = [
        row(n, e, flops=f)
        for n, (e, f) in enumerate(zip(errors(1, 40), range(20, 60), strict=True))
    ]
    found = distributions([study("a", [], rows=near), study("b", [], rows=far)])
    assert found is not None
    assert found.weighted
    assert [one.outside for one in found.members] == [10, 10]
    assert sum("left out" in caution for caution in found.cautions) == 2
    found = distributions([study("a", errors(0, 9)), study("b", errors(1, 9), each=50_000_000)])
    assert found is not None
    assert not found.weighted
    assert "their FLOPs hardly overlap" in " ".join(found.cautions)


def test_a_study_of_two_networks_says_nothing():
    assert distributions([study("a", errors(0, 2))]) is None
    found = distributions([study("a", errors(0, 2)), study("b", errors(1, 5))])
    assert found is not None
    assert found.cautions == ("1 study has fewer than 3 networks, too few for a line here",)
