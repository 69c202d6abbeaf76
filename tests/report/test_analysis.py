import json
from dataclasses import replace
from pathlib import Path

import pytest

from archsearch.archive.design import Departure
from archsearch.archive.facts import DatasetFacts
from archsearch.archive.leaderboard import Row, StudyResult
from archsearch.archive.study_folder import StudyFolder
from archsearch.errors import UserError
from archsearch.report.analysis import compare, curves, points
from archsearch.report.results import comparison, leaderboard
from archsearch.report.write import markdown, write_report
from archsearch.settings import DEFAULT_EPOCHS, RunSettings
from archsearch.statistics.score import Score
from archsearch.training.job import EpochReport


def row(name: str, **changes) -> Row:
    made = Row(
        rank=1, name=name, label=f"net {name} $x_1$ | y", role="candidate", origin="search",
        flops=19_000_000, fill=0.95, params=100_000, activation_bytes=1, epochs=3,
        val_accuracy=0.8, status="complete", graph=name,
    )  # fmt: skip
    return replace(made, **changes)


def result(study: str, *, best: float = 0.9, **changes) -> StudyResult:
    rows = (
        row("trial-0001", final_val=Score(mean=best, sd=0.01, n=2),
            test=Score(mean=best - 0.02, sd=0.02, n=2),
            winner=True),
        row("trial-0000", rank=2, role="baseline", origin="matched", params=300_000,
            final_val=Score(mean=0.85, sd=None, n=1), test=Score(mean=0.8, sd=None, n=1)),
        row("resnet20_cifar", rank=3, role="baseline", origin="published", flops=40_800_000,
            val_accuracy=None, final_val=Score(mean=0.99, sd=None, n=1)),
        row("trial-0002", rank=4, val_accuracy=0.5, status="pruned"),
        row("trial-0003", rank=None, val_accuracy=None, status="failed", reason="NaN"),
    )  # fmt: skip
    made = StudyResult(
        study=study, status="complete", settings=asked(epochs=3),
        dataset=DatasetFacts(name="digits", digest="abc", input=(32, 32, 1)), rows=rows,
    )  # fmt: skip
    return replace(made, **changes)


def asked(**changes) -> RunSettings:
    return RunSettings(**{"space": "vgg", "flops": "20M", **changes})


def test_the_best_of_each_stands_beside_its_baseline():
    found = compare([result("a"), result("b", best=0.95)])
    assert [standing.study for standing in found.standings] == ["b", "a"]
    first = found.standings[0]
    assert first.best == "net trial-0001 $x_1$ | y"
    assert first.baseline == "net trial-0000 $x_1$ | y"
    assert (first.flops, first.baseline_params) == (19_000_000, 300_000)
    assert first.gain == pytest.approx(13.0)
    assert found.cautions == ()
    json.dumps(found.to_dict(), allow_nan=False)
    assert comparison(found).row_count == 2


def test_what_makes_a_comparison_unfair_is_said():
    other = result("b", settings=asked(flops="50M", epochs=9), status="failed")
    cautions = " ".join(compare([result("a"), other]).cautions)
    for wanted in ("budgets differ: 20M, 50M", "lengths of training differ", "not finished: b"):
        assert wanted in cautions
    assert "recipes" not in cautions
    assert "latency" not in cautions
    bounded = result("c", settings=asked(epochs=3, max_latency="5ms"))
    cautions = " ".join(compare([result("a"), bounded]).cautions)
    assert cautions == "their bounds on latency differ: 5ms, none"


def test_one_budget_in_two_spellings_is_one_budget():
    studies = [
        result("a"),
        *(
            result(n, settings=asked(flops=f, epochs=3))
            for n, f in (("b", "20.0M"), ("c", "0.02G"))
        ),
    ]
    assert compare(studies).cautions == ()
    (caution,) = compare(
        [*studies, result("d", settings=asked(flops="19M:20M", epochs=3))]
    ).cautions
    assert caution == "their budgets differ: 19M:20M, 20M"


def test_a_length_that_was_asked_for_is_no_other_than_the_same_by_default():
    given = result("a", settings=asked(epochs=DEFAULT_EPOCHS))
    default = result("b", settings=asked())
    assert compare([given, default]).cautions == ()
    longer = result("c", settings=asked(epochs=9))
    (caution,) = compare([default, longer]).cautions
    assert caution == f"their lengths of training differ: {DEFAULT_EPOCHS} epochs, 9 epochs"


def test_recipes_differ_where_a_part_does():
    def of(study, **settings):
        values = {"space": "vgg", "flops": "20M", "epochs": 3, **settings}
        return result(study, settings=RunSettings.from_dict(values))

    same = [
        of("a"),
        of("b", **{"recipe.momentum": 0.9, "class_weights": False}),
        of("c", batch_size=32),
    ]
    assert compare(same).cautions == ()
    (caution,) = compare([*same, of("d", ema=0.9, **{"recipe.base_lr": 0.4})]).cautions
    assert caution == "their recipes differ: default, default with base_lr 0.4 and ema 0.9"
    (caution,) = compare([of("a"), of("b", recipe="newer", **{"recipe.wings": 2})]).cautions
    assert caution == "their recipes differ: default, newer with wings 2"


def test_studies_before_their_finals_stand_by_their_trials():
    bare = tuple(replace(r, final_val=None, test=None, winner=False) for r in result("a").rows)
    (standing,) = compare([result("a", rows=bare, status="running")]).standings
    assert standing.val == Score(mean=0.8, sd=None, n=1)
    assert standing.gain is None
    (empty,) = compare([result("a", rows=())]).standings
    assert empty.best is None


def test_points_are_means_where_there_are_several_trainings():
    found = {point.label.split()[1]: point for point in points(result("a"))}
    assert found["trial-0001"].accuracy == 0.9
    assert (found["trial-0001"].sd, found["trial-0001"].seeds) == (0.01, 2)
    assert (found["trial-0002"].accuracy, found["trial-0002"].seeds) == (0.5, 0)
    assert "trial-0003" not in found


def test_a_report_is_a_folder_with_pictures(tmp_path: Path):
    folder = StudyFolder(tmp_path, "a")
    for epoch in (1, 2):
        folder.add_epoch(
            EpochReport(
                key="final-0001-seed1", epoch=epoch, loss=1, accuracy=0.5, val_loss=1,
                val_accuracy=0.4 * epoch, images_per_s=1, learning_rate=1, wall_s=1,
            )
        )  # fmt: skip
    skipped = EpochReport(
        key="final-0001-seed1",
        epoch=3,
        loss=1,
        accuracy=0.5,
        images_per_s=1,
        learning_rate=1,
        wall_s=1,
    )
    folder.add_epoch(skipped)
    study = result("a")
    (curve,) = curves(study, home=tmp_path)
    assert (curve.epochs, curve.accuracy) == ((1, 2), (0.4, 0.8))
    path = write_report(study, home=tmp_path, out=tmp_path / "out")
    assert sorted(p.name for p in path.parent.iterdir()) == [
        "complexity.png", "curves.png", "report.md",
    ]  # fmt: skip
    assert (path.parent / "complexity.png").read_bytes().startswith(b"\x89PNG")
    text = path.read_text()
    assert "the best +8.0 points" in text
    assert r"net trial-0001 $x\_1$ \| y" in text
    assert len([line for line in text.splitlines() if line.startswith("|")]) == 2 + 5
    assert "curves.png" not in markdown(study, pictured=False)


def test_latency_has_a_column_where_it_was_measured(tmp_path: Path):
    bare = result("a")
    slow = "too slow: 6.10 ms a call, --max-latency is 5ms"
    first, second, *others = bare.rows
    rows = (
        replace(first, latency_ms=4.8125, label="net latency-bound", bound_by="latency"),
        replace(second, latency_ms=6.1, too_slow=True, reason=slow),
        *others,
    )
    settings = asked(epochs=3, max_latency="5ms")
    timed = replace(bare, rows=rows, settings=settings)
    for made, columns in ((bare, 12), (timed, 13)):
        assert len(leaderboard(made).columns) == columns
        assert len(comparison(compare([made])).columns) == columns + (made is timed)
    text = markdown(timed, pictured=False)
    assert "| params | ms | epochs | val % |" in text
    assert "100k parameters, 4.81 ms a call of one image, test accuracy" in text
    assert "A call of one image may take 5ms." in text
    assert f"| complete: {slow} |" in text
    assert " ms " not in markdown(bare, pictured=False)
    (standing,) = compare([timed]).standings
    assert (standing.latency_ms, standing.baseline_latency_ms) == (4.8125, 6.1)


def test_nothing_to_report_and_nowhere_to_write_are_one_line(tmp_path: Path):
    with pytest.raises(UserError, match="no network with an accuracy yet"):
        write_report(result("a", rows=()), home=tmp_path, out=tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="choose another --out"):
        write_report(result("a"), home=tmp_path, out=tmp_path / "file" / "out")


BROKEN = (Departure("3x3-stacks", "conv1: a 5×5"), Departure("channel-doubling", "conv2: × 2.5"))


def test_rules_that_were_freed_and_broken_are_said():
    freed = asked(relax="channel-doubling")
    rows = (row("a", obeys=("channel-doubling",)), row("b"), row("c", findings=BROKEN))
    made = replace(result("s"), settings=freed, rows=rows)
    table = leaderboard(made)
    assert "design rules freed: channel-doubling" in str(table.caption)
    (rules,) = [column for column in table.columns if column.header == "rules"]
    assert [str(cell) for cell in rules.cells] == ["obeys channel-doubling", "", "breaks 2 rules"]
    text = markdown(made, pictured=False)
    assert "Design rules freed: channel-doubling." in text
    assert "- net c $x\\_1$ \\| y: conv1: a 5×5 (3x3-stacks)" in text
    assert compare([made]).standings[0].freed == ("channel-doubling",)
    plain = result("t")
    equal = replace(made, settings=asked(epochs=3, relax="channel-doubling"))
    (caution,) = compare([equal, plain]).cautions
    assert caution == "their design rules freed differ: channel-doubling, none"
    assert [column for column in leaderboard(plain).columns if column.header == "rules"] == []
