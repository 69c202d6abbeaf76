"""What is said of a winner: every case in words."""

import pytest

from archsearch.statistics.verdict import (
    Contender,
    how_much,
    is_untrained,
    probability_text,
    ties_text,
    undertrained,
    untrained_text,
    verdict,
)

NEW = Contender(label="resnext 1-2-4", n=3, matched=False, val=0.98)
CLASSIC = Contender(label="resnext 2-2-2", n=2, matched=True, val=0.96)


@pytest.mark.parametrize(
    ("winner", "rival", "gain", "probability", "words"),
    [
        (NEW, CLASSIC, 0.011, 0.974,
         "resnext 1-2-4 is better than the matched resnext 2-2-2 by 1.1 points, P = 0.97, "
         "n = 3 and 2 trainings"),
        (NEW, CLASSIC, 0.011, 0.87,
         "resnext 1-2-4 is probably better than the matched resnext 2-2-2 by 1.1 points, P = 0.87, "
         "n = 3 and 2 trainings"),
        (NEW, CLASSIC, 0.002, 0.6,
         "no difference between resnext 1-2-4 and the matched resnext 2-2-2 is shown (+0.2 points, "
         "P = 0.60, n = 3 and 2 trainings)"),
        (NEW, CLASSIC, -0.02, 0.1,  # the better one was too slow
         "resnext 1-2-4 is probably worse than the matched resnext 2-2-2 by 2.0 points, P = 0.10, "
         "n = 3 and 2 trainings"),
        (CLASSIC, NEW, 0.03, 0.999,
         "the search found nothing better than the matched resnext 2-2-2: resnext 1-2-4 is worse than "
         "the matched resnext 2-2-2 by 3.0 points, P < 0.01, n = 3 and 2 trainings"),
        (CLASSIC, NEW, 0.001, 0.55,
         "the search found nothing better than the matched resnext 2-2-2: no difference between "
         "resnext 1-2-4 and the matched resnext 2-2-2 is shown (-0.1 points, P = 0.45, "
         "n = 3 and 2 trainings)"),
    ],
)  # fmt: skip
def test_words_go_by_the_probability(winner, rival, gain, probability, words):
    found = verdict(winner, rival, gain=gain, probability=probability)
    assert found.words == words
    assert (found.winner, found.rival, found.baseline) == (winner.label, rival.label, True)
    assert (found.n, found.rival_n) == (winner.n, rival.n)
    assert found.gain == pytest.approx(100 * gain)


@pytest.mark.parametrize(
    ("probability", "word"),
    [(0.95, "better"), (0.949, "probably better"), (0.80, "probably better"), (0.79, ""), (0.21, ""),
     (0.19, "probably worse"), (0.04, "worse")],
)  # fmt: skip
def test_a_word_begins_at_its_probability(probability, word):
    assert how_much(probability) == word


def test_no_certainty_is_told():
    assert [probability_text(p) for p in (1.0, 0.9901, 0.5, 0.0)] == [
        "> 0.99", "> 0.99", "= 0.50", "< 0.01",
    ]  # fmt: skip


def test_ties_are_named_and_counted():
    assert ties_text([]) == ""
    assert ties_text(["a"]) == "not told apart from the winner: a"
    assert ties_text(["a", "b", "c"]) == "not told apart from the winner: a, b and c"
    assert ties_text(list("abcde")) == "not told apart from the winner: a, b, c and 2 more"
    found = verdict(NEW, CLASSIC, gain=0.1, probability=0.9, ties=["a"], cautions=["undertrained"])
    assert found.lines == (
        f"Verdict: {found.words}.", "Not told apart from the winner: a.", "Undertrained.",
    )  # fmt: skip


def test_a_network_at_chance_level_is_untrained():
    # 300 images of ten classes: two standard deviations are 3.5 points.
    assert is_untrained(0.13, common=0.1, images=300)
    assert not is_untrained(0.14, common=0.1, images=300)
    assert is_untrained(0.9, common=0.9, images=300)  # one class in ten is rare
    assert not is_untrained(0.1, common=0.1, images=0)
    dead = Contender(label="vgg 1", n=2, matched=True, val=0.104)
    words = untrained_text(dead, common=0.1)
    assert words == (
        "the matched vgg 1 is untrained: 10.4 % of the validation images, where naming the most common "
        "class gives 10.0 %; it is no comparison"
    )
    found = verdict(NEW, dead, gain=0.8, probability=1.0, untrained=words)
    assert found.words == words
    assert "better" not in " ".join(found.lines)


def test_curves_that_still_rise_are_called_undertrained():
    rising = {1: 0.5, 2: 0.7, 3: 0.8, 4: 0.87}
    flat = {1: 0.5, 2: 0.8, 3: 0.9, 4: 0.902}
    assert "still rose by 7.0 points in the last quarter" in undertrained([rising], images=300)
    assert undertrained([flat], images=300) == ""
    assert undertrained([rising], images=20) == ""  # which is noise, of so few images
    assert undertrained([{1: 0.2, 2: 0.9}], images=300) == ""  # too short to say
    assert undertrained([], images=300) == ""
    # Evaluated every third epoch: the end against the last one within three quarters.
    assert "by 3.0 points" in undertrained([{3: 0.5, 6: 0.8, 9: 0.85, 12: 0.88}], images=2000)
