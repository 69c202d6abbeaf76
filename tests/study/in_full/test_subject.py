"""What is trained in full, and how: a study's networks, baselines, matched ones, files; bad inputs."""

from pathlib import Path

import numpy as np
import pytest

from archsearch import api
from archsearch.errors import ArchsearchError, UserError
from archsearch.gathering import gather
from archsearch.ir.codec import content_hash, from_json, to_json
from archsearch.settings import RunSettings
from archsearch.space.registry import find_baseline
from archsearch.study.catalogue import delete_study, kept_networks, list_studies, load_result
from archsearch.study.in_full.asking import completed, kept_graph
from archsearch.study.in_full.subject import inherited
from tests.networks import resnext_like
from tests.world import STUDY, World

pytestmark = pytest.mark.usefixtures("studies_in_memory")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a study of four networks."""
    home = tmp_path_factory.mktemp("home")
    World().run(
        RunSettings(
            space="vgg", flops="20M", trials=4, epochs=3, workers=2, seeds=2, finalists=2,
            recipe="resnet2015", recipe_parts={"base_lr": 0.3}, home=str(home),
        )
    )  # fmt: skip
    return home


def asked(home: Path, **given: object) -> RunSettings:
    """What `archsearch train` makes of its flags."""
    flags = {"home": str(home), **given}
    return gather(flags, study=inherited(gather(flags)))


def test_the_winner_of_a_study_is_trained_as_the_study_trained_but_longer(home):
    world, searched = World(), load_result(STUDY, home=home)
    result = world.run(asked(home, network=STUDY, seeds=3))
    assert result.study == f"{STUDY}-full"
    assert result.status == "complete"
    [row] = result.rows
    best = searched.winner
    assert (row.name, row.graph, row.flops, row.winner) == (best.name, best.graph, best.flops, True)
    assert (row.epochs, row.test.n, row.final_val.n) == (60, 3, 3)
    assert (result.training.study, result.training.test) == (STUDY, best.test)
    assert result.training.epochs == 3
    assert result.dataset.digest == searched.dataset.digest
    jobs = world.engine.submitted
    assert [job.key for job in jobs] == [f"final-{best.name[6:]}-seed{n}" for n in (1, 2, 3)]
    assert len({job.seed for job in jobs}) == 3
    assert all(job.test and job.images == 60 * 1259 for job in jobs)
    assert {(job.recipe.name, job.recipe.base_lr) for job in jobs} == {("resnet2015", 0.3)}
    assert world.exports == [result.best_key]
    roles = [record.role for record in world.tracker.trial_records.values()]
    assert len(roles) == 3
    assert world.tracker.study.metrics["best_test_accuracy"] == row.test.mean


def test_places_and_trials_of_a_study(home):
    searched = load_result(STUDY, home=home)
    second = World().run(asked(home, network=STUDY, place=2, epochs=2, name="second"))
    assert second.rows[0].graph == searched.rows[1].graph
    matched = World().run(asked(home, network=STUDY, trial=0, epochs=2, recipe="default"))
    assert matched.rows[0].name == "trial-0000"
    which = "" if searched.winner.name == "trial-0000" else "-trial-0000"
    assert matched.study.startswith(f"{STUDY}{which}-full")
    assert matched.settings.recipe == "default"


def test_what_a_full_training_is_said_of_as_of_any_study(home):
    name = World().run(asked(home, network=STUDY, epochs=2, name="told")).study
    [summary] = [found for found in list_studies(home=home) if found.name == name]
    assert (summary.space, summary.trials_done, summary.trials) == (f"train {STUDY}", 1, 1)
    [(label, graph, holds)] = kept_networks(name, home=home)
    assert content_hash(graph) == load_result(name, home=home).rows[0].graph
    assert "vgg" in label
    assert holds
    assert World().resume(name, home).study == name  # which has ended
    again = World().run(asked(home, network=name, epochs=1, name="again"))
    assert again.training.study == name
    delete_study(name, home=home, keep_runs=True)
    assert World().resume("again", home).training.study == name


def test_baselines_and_classics_are_made_for_the_images(home):
    world = World()
    result = world.run(asked(home, network="resnet20_cifar", epochs=2))
    assert (result.study, result.training.study) == ("resnet20_cifar-digits", "")
    graph = from_json(world.engine.submitted[0].graph)
    assert graph == find_baseline("resnet20_cifar").build((32, 32, 1), 10)
    matched = World().run(asked(home, network="vgg", flops="20M", epochs=2))
    classic = next(r for r in load_result(STUDY, home=home).rows if r.origin == "matched")
    assert (matched.study, matched.rows[0].graph) == ("vgg-20M-digits-matched", classic.graph)
    assert World().run(asked(home, network="resnet20_cifar", epochs=2)).study.endswith("digits-2")


def test_files_say_the_size_of_the_images(home, tmp_path):
    path = tmp_path / "my net.json"
    path.write_text(to_json(resnext_like(side=24, channels=3, classes=10)), encoding="utf-8")
    world = World()
    result = world.run(asked(home, network=path, epochs=2))
    assert result.dataset.input == (24, 24, 3)
    assert result.study == "my_net-digits"
    assert from_json(world.engine.submitted[0].graph).input == (24, 24, 3)


@pytest.mark.keras
def test_a_model_of_keras(home, tmp_path):
    import keras
    from keras import layers

    path = tmp_path / "mine.keras"
    keras.backend.clear_session()  # layers have the names they have in a fresh process
    model = keras.Sequential(
        [
            layers.Input((32, 32, 1)), layers.Conv2D(8, 3, strides=2, use_bias=False),
            layers.BatchNormalization(), layers.ReLU(), layers.GlobalAveragePooling2D(),
            layers.Dense(10),
        ]
    )  # fmt: skip
    model.save(path)
    result = World().run(asked(home, network=path, epochs=2))
    frozen = 2 * 8  # Keras counts the moving statistics
    assert result.rows[0].params == model.count_params() - frozen
    assert result.study == "mine-digits"


def test_settings_made_in_python_are_completed_by_the_study(home):
    found = completed(RunSettings(network=STUDY, home=str(home), epochs=5, data="digits"))
    assert (found.recipe, found.recipe_parts, found.epochs) == ("resnet2015", {"base_lr": 0.3}, 5)
    kept = kept_graph(RunSettings(network="my design", home=str(home)), resnext_like())
    assert from_json(Path(kept.network).read_text(encoding="utf-8")) == resnext_like()
    with pytest.raises(UserError, match=r"network is missing; archsearch\.search searches"):
        api.train(RunSettings(space="vgg", flops="20M"))


def test_the_digest_of_the_images_is_checked(home):
    before = sorted((home / "studies").iterdir())
    for given in ({"seed": 5}, {"val_fraction": 0.2}):
        with pytest.raises(UserError, match="split otherwise, than those that study"):
            World().run(asked(home, network=STUDY, **given))
    assert sorted((home / "studies").iterdir()) == before


def fives(folder: Path) -> Path:
    y = np.arange(100) % 5
    x = np.random.default_rng(0).integers(0, 255, (100, 32, 32, 1)).astype(np.uint8)
    np.savez(folder / "fives.npz", x=x, y=y)
    return folder / "fives.npz"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"network": "resnet20_cifra"},
            "no study, baseline or file is named 'resnet20_cifra'; did you mean",
        ),
        ({"network": "nothing.json"}, "nothing.json cannot be read"),
        ({"network": STUDY, "place": 9}, f"study '{STUDY}' has no place 9; its last is 4"),
        (
            {"network": STUDY, "trial": 9},
            f"study '{STUDY}' has no network of trial 9; its last is 3",
        ),
        ({"network": "vggg", "place": 1}, "no study 'vggg'"),
        ({"network": STUDY, "data": "fives"}, "tells 10 classes apart, and"),
        (
            {"network": STUDY, "input": "16x16x1"},
            "takes images of 32x32x1, and those of digits are",
        ),
        ({"network": "vgg", "flops": "1"}, "vgg reaches"),
        ({"network": "lenet5", "recipe": "resnet15"}, "did you mean resnet2015?"),
        ({"network": "lenet5", "devices": 64}, "this machine has"),
        ({"network": "lenet5", "max_time": "1ms"}, "is no duration"),
    ],
)
def test_what_does_not_work_is_said_in_one_line_and_leaves_nothing(given, message, home, tmp_path):
    if given.get("data") == "fives":
        given = {**given, "data": str(fives(tmp_path))}
    before = sorted((home / "studies").iterdir())
    with pytest.raises(ArchsearchError) as error:
        World().run(asked(home, **given))
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert sorted((home / "studies").iterdir()) == before


def test_a_study_without_a_winner_says_so(tmp_path):
    def interrupt(event: object) -> bool:
        return type(event).__name__ == "JobEnded"

    settings = RunSettings(space="vgg", flops="20M", trials=3, workers=1, home=str(tmp_path))
    with pytest.raises(ArchsearchError):
        World(interrupt_at=interrupt).run(settings)
    with pytest.raises(
        UserError, match=r"has no winner yet; .* or --place 1 takes the best so far"
    ):
        World().run(asked(tmp_path, network=STUDY))
    assert World().run(asked(tmp_path, network=STUDY, place=1, epochs=1)).winner is not None


def test_a_devices_share_must_be_a_whole_one(home):
    with pytest.raises(UserError, match="--devices 2: they can't share a batch of 33 images"):
        World(machine=_machine).run(asked(home, network="lenet5", devices=2, batch_size=33))


def _machine():
    from archsearch.engines.engine import Machine

    return Machine(cores=4)
