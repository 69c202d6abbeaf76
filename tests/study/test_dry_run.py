import json
import math
import re
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from archsearch.engines.local import LOCAL
from archsearch.errors import UserError
from archsearch.report.live import open_view
from archsearch.report.plan import plan_lines
from archsearch.settings import RunSettings
from archsearch.study import dry_run
from archsearch.study.dry_run import plan
from archsearch.study.opening import check_start
from archsearch.training.backends import choice
from archsearch.training.job import Outcome
from tests.small_study import Small, settings_of
from tests.world import World


def planned(
    settings: RunSettings,
    *,
    on_event=lambda event: None,
    machine=None,
    pace=100.0,
    reason="",
    device="a GPU",
):
    """Plan where so many images a second are measured, or measuring fails."""

    def tell(outcome: Outcome) -> Outcome:
        if reason:
            return Outcome(key=outcome.key, status="failed", reason=reason)
        return replace(outcome, images_per_s=pace, start_s=2.0, device=device)

    world = World(tell=tell, machine=machine)
    found = plan(settings, on_event=on_event, services=world.services())
    engine = world.engines[0]
    assert engine.submitted == []
    assert engine.workers <= len(engine.measured) <= max(2, engine.workers)
    return found


@pytest.fixture
def settings(tmp_path: Path) -> RunSettings:
    return RunSettings(
        space="vgg", flops="20M", trials=6, epochs=3, workers=2, seeds=2, finalists=2,
        home=str(tmp_path),
    )  # fmt: skip


def test_a_plan_says_what_a_call_may_take(settings):
    found = planned(replace(settings, max_latency="5ms"))
    (line,) = [line for line in plan_lines(found) if line.startswith("latency")]
    assert "at most 5ms for a call of one image" in line
    assert found.measured == 3
    free = planned(replace(settings, finalists=1, baselines="none"))
    assert not any(line.startswith("latency") for line in plan_lines(free))
    assert free.measured == 1
    assert free.closing_s < found.closing_s


def test_measuring_is_progress_which_quiet_leaves_out(settings, capsys):
    planned(settings, on_event=open_view(quiet=False))
    assert capsys.readouterr().err.startswith("measuring how fast")
    planned(settings, on_event=open_view(quiet=True))
    assert capsys.readouterr().err == ""


def test_a_plan_counts_and_measures_and_leaves_nothing_behind(settings, tmp_path: Path):
    found = planned(settings)
    json.dumps(found.to_dict(), allow_nan=False)
    train = found.images["train"]
    assert found.trial_flops == 3 * 20_000_000 * 3 * train
    assert found.finals == 3 * 2
    assert found.total_flops == 12 * found.trial_flops
    assert found.trial_s == pytest.approx(2 + 3 * train / found.pace.trained_per_s, rel=0.01)
    assert found.pace.images_per_s == pytest.approx(100)
    # Two workers: three rounds of trials, three of finals.
    assert found.search_s == pytest.approx(3 * found.trial_s)
    assert found.finals_s == pytest.approx(3 * found.trial_s, rel=0.01)
    assert found.distinct > 1000
    assert [p.name for p in tmp_path.iterdir()] == ["data"]
    text = "\n".join(plan_lines(found))
    for wanted in ("depth1 1 to", "19.0M to 20.0M", "32x32x1", "3 epochs", "a step of", "a GPU"):
        assert wanted in text


def test_what_takes_days_comes_with_what_would_not(settings: RunSettings):
    large = replace(settings, flops="4G", input="224x224x3", epochs=90, workers=1)
    found = planned(large, pace=2.0)
    assert found.total_s > 4 * 86400
    (note,) = [note for note in found.notes if "this takes" in note]
    assert "d " in note
    assert "within 3 hours would be" in note
    assert "--epochs" in note or "--flops" in note
    quick = planned(replace(settings, workers=1), pace=500.0)
    assert quick.notes == ()


def test_a_small_folder_is_told_to_train_longer(settings: RunSettings, tmp_path: Path):
    for kind in ("ant", "bee"):
        (tmp_path / "photos" / kind).mkdir(parents=True)
        for number in range(60):
            pixels = np.random.default_rng([len(kind), ord(kind[0]), number]).integers(
                0, 256, (32, 32, 3), np.uint8
            )
            Image.fromarray(pixels).save(tmp_path / "photos" / kind / f"{number}.png")
    (tmp_path / "photos" / "ant" / "bad.png").write_bytes(b"junk")
    small = replace(settings, data=str(tmp_path / "photos"), epochs=None)
    skipped, few = planned(small).notes
    assert "bad.png" in skipped  # a dry run skips it too
    assert "only 10 training steps of 32 images" in few
    assert "--epochs 115 gives it 300" in few
    assert len(planned(replace(small, epochs=3)).notes) == 1


def test_fewer_trials_than_budgets_are_said(settings: RunSettings):
    sliced = replace(settings, flops="10M:40M", slices=3)
    (note,) = planned(replace(sliced, trials=2)).notes
    assert note == (
        "2 trials for 3 budgets leave 1 without a network but the classic; --trials 3 gives each one"
    )
    assert planned(replace(sliced, trials=3)).notes == ()


def test_a_step_larger_than_the_memory_is_taken_in_parts_which_is_said(settings: RunSettings):
    large = replace(settings, flops="40M", workers=8, batch_size=128, memory="100MB")
    found = planned(large)
    assert found.microbatches > 1
    assert found.at_once == math.ceil(128 / found.microbatches)
    assert found.memory["total_bytes"] < 60_000_000
    (note,) = found.notes
    assert re.fullmatch(
        r"a training step of 128 images may take \d+ MB, and each worker has 100 MB: batches are taken in "
        rf"{found.microbatches} microbatches of {found.at_once} at most; their gradients are added, and "
        "batch normalization goes by each part",
        note,
    )
    line = next(line for line in plan_lines(found) if line.startswith("memory"))
    assert (
        f"a step of {found.at_once} images, {found.microbatches} times for a batch of 128" in line
    )
    plain = planned(replace(large, memory="50GB"))
    assert (plain.microbatches, plain.at_once, plain.notes) == (1, 128, ())


@pytest.mark.parametrize(
    ("memory", "bytes_", "what"),
    [("2MB", 10**10, "a larger --memory"), (None, 10**7, "fewer --workers")],
)
def test_where_one_image_does_not_fit_it_is_refused(settings: RunSettings, memory, bytes_, what):
    machine = partial(replace, LOCAL.machine(Path()), memory_bytes=bytes_)
    with pytest.raises(UserError) as caught:
        planned(replace(settings, workers=8, memory=memory), machine=machine)
    assert re.fullmatch(
        r"a training step of one image needs about \d+ MB, and each of 8 workers has \d MB; try "
        f"{what} or a smaller --input",
        str(caught.value),
    )


def test_on_a_gpu_its_own_memory_counts(settings: RunSettings, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setattr(choice, "has_cudnn", lambda packages: True)
    asked = replace(settings, backend="tensorflow", workers_per_gpu=4, workers=None)
    small = partial(replace, LOCAL.machine(Path()), gpu_memory_bytes=200_000_000)
    (note,) = [note for note in planned(asked, machine=small).notes if "training step" in note]
    assert re.search(r"each worker has 4\d MB: batches are taken in \d+ microbatches", note)
    for unknown_or_enough in (None, 10**12):
        machine = partial(replace, LOCAL.machine(Path()), gpu_memory_bytes=unknown_or_enough)
        notes = planned(asked, machine=machine).notes
        assert not [note for note in notes if "training step" in note]


def test_a_gpu_that_is_not_used_is_said(settings: RunSettings, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setattr(choice, "has_cudnn", lambda packages: True)
    asked = replace(settings, backend="tensorflow")
    assert not [note for note in planned(asked).notes if "given a GPU" in note]
    (note,) = [note for note in planned(asked, device="").notes if "given a GPU" in note]
    assert note.startswith("tensorflow was given a GPU but trains on the processor")


def test_published_networks_take_their_own_time(settings: RunSettings):
    space = replace(settings, space="resnet", baselines="none", workers=1)
    without = planned(space)
    with_one = planned(replace(space, baselines="resnet20_cifar"))
    assert with_one.finals == without.finals + 2
    share = (with_one.finals_s - without.finals_s) / (2 * without.trial_s)
    assert share == pytest.approx(40.8 / 20, rel=0.1)


def test_bounds_say_how_many_fit(settings: RunSettings):
    found = planned(replace(settings, workers=1, trials=1000, max_time="1h"))
    assert found.fit == pytest.approx(
        (3600 - 6 * found.trial_s - found.closing_s) / found.trial_s, abs=1
    )
    assert found.total_s < 3600
    assert f"about {found.fit}" in "\n".join(plan_lines(found))


def test_a_pace_that_cannot_be_measured_is_said(settings: RunSettings):
    found = planned(settings, reason="worker died: signal 9")
    assert found.total_s is None
    assert "how long it takes is not known: worker died: signal 9" in found.notes[0]
    assert any("not known" in line for line in plan_lines(found))


def test_wrong_input_is_refused_before_anything_is_measured(settings: RunSettings):
    with pytest.raises(UserError, match="did you mean vgg"):
        planned(replace(settings, space="vvg"))


def test_progress_is_told_after_a_while_and_seldom(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(dry_run.time, "monotonic", lambda: now[0])
    told: list[object] = []
    progress = dry_run.slow_progress(told.append)
    for done in range(100):
        now[0] = done / 20
        progress(done, 100)
    # From 2 s on, every half second.
    assert [event.done for event in told] == [40, 50, 60, 70, 80, 90]


@pytest.mark.parametrize(
    ("epochs", "asked", "every"),
    [(4, None, 1), (11, None, 1), (12, None, 2), (90, None, 3), (90, 7, 7)],
)
def test_long_trainings_are_validated_less_often_unless_asked_for(settings, epochs, asked, every):
    found = planned(replace(settings, epochs=epochs, val_every=asked))
    assert found.val_every == every  # 269 images for 1,259: 7 % of a training's FLOPs
    (line,) = [line for line in plan_lines(found) if line.startswith("training")]
    assert (f"{epochs} epochs, validated every {every} (" in line) == (every > 1)


def test_few_validation_images_are_evaluated_after_every_epoch(settings):
    assert planned(replace(settings, epochs=90, val_fraction=0.03)).val_every == 1


def test_of_a_taken_name_only_what_was_given_differs(tmp_path: Path):
    small = Small(tmp_path)
    small.run(name="taken", trials=2)
    asked = settings_of(tmp_path, name="taken", trials=2, workers=None)
    with pytest.raises(UserError, match="already, with the same settings"):
        check_start(asked)
    with pytest.raises(UserError, match=r"other settings \(backend: \w+ there, jax here\)"):
        check_start(replace(asked, backend="jax"))
