"""The Python interface: what the commands do, as functions."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archsearch.errors import UserError
from archsearch.ir.graph import Graph
from archsearch.plugins import unknown
from archsearch.readings import table
from archsearch.space.budget import Budget, Request
from archsearch.space.knobs import KnobValue
from archsearch.space.registry import find_baseline, find_space
from archsearch.space.solve import Candidate
from archsearch.space.solve import sample as _sample
from archsearch.units import split_names

if TYPE_CHECKING:
    from archsearch.archive.leaderboard import StudyResult
    from archsearch.comparison.ablation import Ablations
    from archsearch.ensembles.makeup import Ensemble
    from archsearch.exchange.checking.agreement import Exported
    from archsearch.exchange.latency import Latency
    from archsearch.inference.evaluate import Evaluation
    from archsearch.inference.predict import Prediction
    from archsearch.inference.visualization.visualize import Visualized
    from archsearch.repetition import Repetition
    from archsearch.report.analysis import Comparison
    from archsearch.report.notebook.loaded import Study
    from archsearch.rules.audit import Audit
    from archsearch.settings import RunSettings
    from archsearch.study.events import Event

Size = tuple[int, int, int]

LARGE_SIDE = 96
"""From this side on (pixels) images are taken to have ImageNet's 1000 classes, below CIFAR's 10."""

USUAL_INPUT = (32, 32, 1)
"""The images that a search has where no data are named: the digits."""


def search(
    settings: "RunSettings", *, on_event: "Callable[[Event], None] | None" = None
) -> "StudyResult":
    """Search a design space under a FLOP budget, as `archsearch run` does.

        archsearch.search(archsearch.RunSettings(space="resnext", flops="20M", trials=20))

    Trials train in worker processes that import the calling script: call this under
    `if __name__ == "__main__":`. In a notebook, which needs no such line, the cell shows how far it is.

    Args:
        settings: what is asked for.
        on_event: told what happens, as it happens: a function of an event, or a `Callback`.

    Returns:
        The leaderboard, the winner and where its exported model is.

    Raises:
        UserError: something asked for does not work; nothing has been kept then.
        ArchsearchError: no network could be trained.
    """
    from archsearch.gathering import with_environment
    from archsearch.study.driver import run

    asked = with_environment(settings, os.environ)
    with _watched(on_event) as tell:
        return run(asked, on_event=tell)


def resume(
    study: str,
    *,
    home: str | Path = "mlruns",
    max_time: str | None = None,
    on_event: "Callable[[Event], None] | None" = None,
) -> "StudyResult":
    """Go on with a study that was interrupted or had too little time, as `archsearch resume` does.

    Call this, as `search`, under `if __name__ == "__main__":`.

    Args:
        study: its name.
        home: where it lies.
        max_time: a new bound, counted from now: `30min`, `2h`.
        on_event: told what happens, as for `search`.

    Raises:
        UserError: there is no such study, or a process is driving it.
        ArchsearchError: no network could be trained.
    """
    from archsearch.study import driver

    with _watched(on_event) as tell:
        return driver.resume(study, home=Path(home), max_time=max_time, on_event=tell)


def rerun(
    study: str,
    *,
    trial: int | None = None,
    training: str | None = None,
    home: str | Path = "mlruns",
    on_event: "Callable[[Event], None] | None" = None,
) -> "Repetition":
    """Train a network of a study once more and compare every figure, as `archsearch rerun` does.

        archsearch.rerun("resnext-20M-digits", trial=3).differences  # (): all are the same

    Nothing of the study changes. Call this, as `search`, under `if __name__ == "__main__":`.

    Args:
        study: its name.
        trial: number of a trial of the search; its longest training that has ended is meant.
        training: key of one training in place of that: `final-0007-seed1`.
        home: where the study lies.
        on_event: told that it begins, and of every epoch.

    Raises:
        UserError: there is no such study or training, it has not ended, or its images have changed.
        ArchsearchError: it could not be trained.
    """
    from archsearch import repetition

    with _watched(on_event) as tell:
        return repetition.rerun(study, home=Path(home), trial=trial, key=training, on_event=tell)


@contextmanager
def _watched(
    on_event: "Callable[[Event], None] | None",
) -> "Iterator[Callable[[Event], None]]":
    """Give what is to be told of events: the log, in a notebook its cell, and who else wants to hear."""
    from archsearch.report.log import StudyLog
    from archsearch.report.notebook.cell import open_notebook_view

    with open_notebook_view() as view, StudyLog(view, capture=False) as log:

        def tell(event: "Event") -> None:
            log(event)
            if on_event is not None:
                on_event(event)

        yield tell


def compare(
    *names: str,
    settings: Mapping[str, object] | None = None,
    home: str | Path = "mlruns",
    on_event: "Callable[[Event], None] | None" = None,
) -> "Comparison":
    """Compare spaces, or studies that are there, as `archsearch compare` does.

        archsearch.compare("vgg", "resnet", settings={"flops": "20M", "trials": 20})

    Args:
        names: studies of the home, or else spaces, of which networks are drawn by chance and trained. Call
            this, as `search`, under `if __name__ == "__main__":`.
        settings: for the spaces, by name as in a file: `flops` at least.
        home: where the studies lie.
        on_event: told what happens.

    Returns:
        As `distributions` what the spaces' errors are like, pair by pair; each study's best and its classic.

    Raises:
        UserError: nothing has that name, or something asked for does not work.
        ArchsearchError: no network could be trained.
    """
    from archsearch.comparison.draws import results_of
    from archsearch.report import analysis

    flags = {**(settings or {}), "home": str(home)}
    with _watched(on_event) as tell:
        return analysis.compare(results_of(names, flags=flags, environ=os.environ, on_event=tell))


def ablate(
    *rules: str,
    space: str,
    settings: Mapping[str, object],
    pairs: int | None = None,
    home: str | Path = "mlruns",
    on_event: "Callable[[Event], None] | None" = None,
) -> "Ablations":
    """Measure what design rules are worth, as `archsearch ablate` does.

        archsearch.ablate("channel-doubling", space="resnet", settings={"flops": "20M"})

    Call this, as `search`, under `if __name__ == "__main__":`.

    Args:
        rules: of the space, or `all` that it can free.
        space: its name.
        settings: by name as in a file: `flops` at least.
        pairs: of networks for each rule, at most; None: 30, or what fits into a bound.
        home: where the studies lie.
        on_event: told what happens.

    Returns:
        For each rule accuracy with it held less that with it freed, with an interval and its pairs.

    Raises:
        UserError: no such space, or a rule that it cannot free; or something asked for does not work.
        ArchsearchError: no network could be trained.
    """
    from archsearch.comparison.ablation import ablate as measure

    flags = {**settings, "space": space, "home": str(home)}
    with _watched(on_event) as tell:
        return measure(rules, flags=flags, environ=os.environ, pairs=pairs, on_event=tell)


def load_study(name: str, *, home: str | Path = "mlruns") -> "Study":
    """Return a study that is there: its tables as DataFrames, its winner, its report.

        study = archsearch.load_study("resnext-20M-digits")
        study.leaderboard().query("winner")

    Args:
        name: its name.
        home: where it lies.

    Raises:
        UserError: there is no such study.
    """
    from archsearch.report.notebook.loaded import Study

    return Study(name, home=Path(home))


def train(
    settings: "RunSettings",
    *,
    graph: Graph | None = None,
    on_event: "Callable[[Event], None] | None" = None,
) -> "StudyResult":
    """Train one network from scratch in full, as `archsearch train` does.

        archsearch.train(archsearch.RunSettings(network="resnet20_cifar", data="cifar10", epochs=200))

    A study's name trains its winner (`place` and `trial` choose another), on the study's images and by its
    recipe; what is not at its default in the settings wins over these. Call this, as `search`, under
    `if __name__ == "__main__":`.

    Args:
        settings: what is asked for; `network` says what is trained.
        graph: the network itself; it is kept as a file of the home, and `network` is what it is called.
        on_event: told what happens, as it happens.

    Returns:
        The leaderboard of the one network, with test accuracy over its seeds; where its exported model is;
        as `training`, what it came to in the study that it is from.

    Raises:
        UserError: something asked for does not work; nothing has been kept then.
        ArchsearchError: it could not be trained.
    """
    from archsearch.study.in_full.asking import completed, kept_graph

    if settings.network is None:
        raise UserError("network is missing; archsearch.search searches a space")
    if graph is not None:
        settings = kept_graph(settings, graph)
    return search(completed(settings), on_event=on_event)


def network(
    name: str | Path | Graph, *, input: Size | None = None, classes: int | None = None
) -> Graph:
    """Return a network: a baseline by name, or what a Graph JSON, `.keras` file or export holds.

    Args:
        name: a baseline's name or a path; a Graph is returned as it is.
        input: (height, width, channels), for baselines and for stored models that leave their size
            open; None: the network's own.
        classes: for baselines; None: as published.

    Raises:
        UserError: there is none, or a stored network was asked for in another size.
        GraphError: the file's network is damaged, or the image too small for the baseline.
    """
    if isinstance(name, Graph):
        return name
    path = Path(name)
    from archsearch.exchange.network_files import is_stored, load_network

    if not is_stored(path):
        return find_baseline(str(name)).build(input, classes)
    if classes:
        raise UserError(f"{name} is stored with its classes; classes are for baselines")
    return load_network(path, input=input)


def profile(
    name: str | Path | Graph,
    *,
    input: Size | None = None,
    classes: int | None = None,
    latency: bool = False,
    batch: int = 1,
    device: str | None = None,
) -> dict[str, Any]:
    """Return a network's exact costs, layer by layer, as `archsearch profile --json` prints them.

    Shapes are [height, width, channels]; FLOPs are multiply-adds; memory is in bytes of 32-bit floats.

    Args:
        name: as for `network`, and so are `input` and `classes`.
        input: (height, width, channels).
        classes: how many.
        latency: measure it, too, in a process of its own: what a call of the exported network takes
            on this machine, as `latency_ms`, `latency_p10_ms` and `latency_p90_ms`. A script does
            so under `if __name__ == "__main__":`, as the process imports it.
        batch: images a call.
        device: `cpu`, `gpu` or `gpu:1`; None: the first GPU where there is one.

    Raises:
        UserError: as for `network`; or the device is not there.
        ArchsearchError: the latency could not be measured.
    """
    graph = network(name, input=input, classes=classes)
    found = table.profile(graph)
    if latency:
        (measured,) = latencies([graph], batch=batch, device=device)
        found |= latency_facts(measured)
    return found


def latencies(
    graphs: Iterable[Graph], *, batch: int = 1, device: str | None = None
) -> "list[Latency]":
    """Measure what a call of each network, exported, takes on this machine (see `profile`).

    Raises:
        UserError: the device is not there.
        ArchsearchError: a latency could not be measured.
    """
    from tempfile import TemporaryDirectory

    from archsearch.exchange.latency import LatencyRequest
    from archsearch.exchange.model_process import ModelProcess
    from archsearch.ir.codec import to_json

    if batch < 1:
        raise UserError(f"batch is {batch}; give at least 1 image")
    with (
        TemporaryDirectory(prefix="archsearch-") as folder,
        ModelProcess(log=Path(folder) / "models.log", device=device) as process,
    ):
        requests = [LatencyRequest(graph=to_json(graph), batch=batch) for graph in graphs]
        return [process.measure(request) for request in requests]


def latency_facts(found: "Latency") -> dict[str, float | int | str]:
    """Return a latency as `profile` has it."""
    return {
        "latency_ms": found.median_ms,
        "latency_p10_ms": found.p10_ms,
        "latency_p90_ms": found.p90_ms,
        "latency_calls": found.calls,
        "latency_batch": found.batch,
        "latency_device": found.device,
        "latency_threads": found.threads,
    }


def sample(
    space: str,
    flops: str,
    *,
    input: Size | None = None,
    classes: int | None = None,
    count: int = 10,
    seed: int = 0,
    relax: str | Iterable[str] = (),
) -> Iterator[Candidate]:
    """Yield `count` candidates of a space, each filling the budget.

    Args:
        space: name of a design space.
        flops: the budget: `4G`, filled to 95 % or more, or a range `3.8G:4.2G`.
        input: (height, width, channels); None: (32, 32, 1), the digits that `search` has by default.
        classes: None: 1000 for large images, 10 for small ones.
        count: how many.
        seed: of the draws.
        relax: design rules of the space to free, in a list or separated by commas; each becomes a knob.

    Raises:
        UserError: no such space or budget, or a rule that the space cannot free.
        BudgetError: the budget is out of the space's reach.
    """
    found = find_space(space)
    request = _request(input, classes, lambda size, _: Budget.parse(flops, size), relax)
    found.knobs(request)  # what is wrong shows now, not at the first candidate
    return _sample(found, request, count, seed=seed)


def left_out(
    space: str,
    flops: str,
    *,
    input: Size | None = None,
    classes: int | None = None,
    relax: str | Iterable[str] = (),
) -> Mapping[str, tuple[KnobValue, ...]]:
    """Return the knobs of freed rules with those of their values that the budget cannot pay.

    The arguments, and the errors raised, are those of `sample`.
    """
    request = _request(input, classes, lambda size, _: Budget.parse(flops, size), relax)
    return find_space(space).left_out(request)


def space_facts(
    space: str,
    flops: str | None = None,
    *,
    input: Size | None = None,
    classes: int | None = None,
    relax: str | Iterable[str] = (),
) -> dict[str, Any]:
    """Return all there is to say about a space at a budget, as `archsearch spaces NAME --json` prints it.

    Args:
        space: its name.
        flops: the budget; None: the least one that is filled to 95 %, as near to it as the space reaches.
        input: as for `sample`, and so are `classes` and `relax`.
        classes: how many.
        relax: design rules to free.

    Raises:
        UserError: no such space or budget, or a rule that the space cannot free.
        BudgetError: the budget is out of the space's reach.
    """
    from archsearch.report import space_page

    found = find_space(space)

    def budget(size: Size, classes: int) -> Budget:
        if flops is None:
            return space_page.usual_budget(found, size, classes)
        return Budget.parse(flops, size)

    return space_page.space_facts(found, _request(input, classes, budget, relax))


def _request(
    input: Size | None,
    classes: int | None,
    budget: Callable[[Size, int], Budget],
    relax: str | Iterable[str],
) -> Request:
    size = input or USUAL_INPUT
    classes = classes or (1000 if min(size[:2]) >= LARGE_SIDE else 10)
    rules = split_names(relax) if isinstance(relax, str) else relax
    return Request(size, classes, budget(size, classes), frozenset(rules))


def check(
    name: str | Path | Graph,
    *,
    rules: Iterable[str] = (),
    input: Size | None = None,
    trial: int | None = None,
    home: str | Path = "mlruns",
) -> "tuple[Audit, ...]":
    """Return where networks depart from the design rules, as `archsearch check` prints it.

    Args:
        name: as for `network`; a file of `archsearch sample --json`, of one network a line; `-`, the
            same from standard input; or a study, for each of its networks.
        rules: the names of the rules to check. None named: for a candidate those that it was built to
            hold, in a study those for all networks; for any other network all there are.
        input: (height, width, channels), for a baseline.
        trial: the number of a study's network, to check only this one.
        home: where the study lies.

    Returns:
        What was found in each network; in one mostly.

    Raises:
        UserError: as for `network`; or there is no rule, study or trial of that name.
    """
    from archsearch.rules.audit import audits

    return audits(_networks(name, input, trial, Path(home)), rules)


def _networks(
    name: str | Path | Graph, input: Size | None, trial: int | None, home: Path
) -> Iterable[tuple[str, Graph, tuple[str, ...] | None]]:
    """Return each network with what it is called and the rules it was built to hold; None: not known."""
    if isinstance(name, Graph):
        return [(name.name, name, None)]
    from archsearch.exchange.candidate_files import load_candidates, read_candidates

    if str(name) == "-":
        found = read_candidates(sys.stdin.read(), where="standard input")
        if not found:
            raise UserError("standard input holds no candidate; give it archsearch sample --json's")
        return found
    path = Path(name)
    if trial is not None or (not path.exists() and (home / "studies" / name).is_dir()):
        from archsearch.study.catalogue import kept_networks

        return kept_networks(str(name), home=home, trial=trial)
    found = load_candidates(path) if path.is_file() else ()
    return found or [(str(name), _network_or_study(name, input, home), None)]


def _network_or_study(name: str | Path, input: Size | None, home: Path) -> Graph:
    """Return a network; where there is none of the name, a study may have been meant."""
    from archsearch.archive.study_folder import kept_studies

    try:
        return network(name, input=input)
    except UserError:
        studies = kept_studies(home)
        if get_close_matches(str(name), studies):
            raise unknown(str(name), studies, "study") from None
        raise


def build(
    name: str | Path | Graph, *, input: Size | None = None, classes: int | None = None
) -> Any:
    """Return the Keras model of a network, with fresh weights: float images in, logits out.

    Its layers are Keras's own, so that it can be saved and loaded without archsearch.

    Raises:
        UserError: as for `network`.
    """
    from archsearch.training.lowering.keras_model import build_model

    return build_model(network(name, input=input, classes=classes), lowering="plain")


def export(
    study: str,
    *,
    out: str | Path | None = None,
    form: str | None = None,
    home: str | Path = "mlruns",
    overwrite: bool = False,
    flops: str | None = None,
    license_name: str | None = None,
) -> "Exported":
    """Write a study's best model, load it in a new process, and compare it with the trained one.

    Args:
        study: its name.
        out: a folder or a file, as the format has it; None: in the study, in place of an earlier one.
        form: the name of an installed format: `saved_model` is a folder, `onnx` a file; None: the one
            that `out` speaks of by its suffix, else `saved_model`.
        home: where the study lies.
        overwrite: replace what is at `out`.
        flops: of several budgets the one whose best model is wanted; None: the best of all.
        license_name: of the model, for its card, such as `apache-2.0`; None: not stated.

    Returns:
        Its `path`, and how its answers compare.

    Raises:
        UserError: no such study, budget or format, nothing trained to its end in it, `out` is there
            already, or a package is missing.
        ArchsearchError: the export failed.
    """
    [made] = export_all(
        study, forms=[form] if form else [], out=out, home=home, overwrite=overwrite, flops=flops,
        license_name=license_name,
    )  # fmt: skip
    return made


def export_all(
    study: str,
    *,
    forms: Sequence[str] = (),
    out: str | Path | None = None,
    home: str | Path = "mlruns",
    overwrite: bool = False,
    on_exported: "Callable[[Exported], None] | None" = None,
    flops: str | None = None,
    license_name: str | None = None,
) -> "tuple[Exported, ...]":
    """Write a study's best model in several formats, each as `export` does.

    Args:
        study: its name.
        forms: names of installed formats; none: as for `export`.
        out: the folder for several, or the place of a single one; None: in the study.
        home: where the study lies.
        overwrite: replace what is there.
        on_exported: hears of each as soon as it is there.
        flops: as for `export`.
        license_name: as for `export`.

    Raises:
        UserError: as for `export`; nothing is written then.
        ArchsearchError: an export failed; those before it are there.
    """
    from archsearch.study.winner import export_study

    return export_study(
        study,
        home=Path(home),
        forms=forms,
        out=None if out is None else Path(out),
        overwrite=overwrite,
        on_exported=on_exported,
        flops=flops,
        license_name=license_name,
    )


def ensemble(
    study: str, *, top: int = 3, scales: Sequence[float] = (1.0,), mirror: bool = False,
    forms: Sequence[str] = (), out: str | Path | None = None,
    home: str | Path = "mlruns", overwrite: bool = False, flops: str | None = None,
    single: bool = False, license_name: str | None = None,
    on_event: "Callable[[Event], None] | None" = None,
) -> "Ensemble":  # fmt: skip
    """Average a study's finalists and export the mean as one model, as `archsearch ensemble` does.

    Args:
        study: its name.
        top: members at most; they are chosen greedily on validation images (Caruana et al. 2004).
        scales: at which every member looks at an image, such as 0.9, 1, 1.1.
        mirror: let it look at each of them mirrored, too.
        forms: names of installed formats; none: as for `export`.
        out: where the model goes, or the folder for several formats; None: into the study's folder.
        home: where the study lies.
        overwrite: replace what is at `out`.
        flops: of several budgets the one whose finalists are meant; None: those of all.
        single: train one network of its FLOPs, too; then call this under `__main__`, as `search`.
        license_name: of the model, for its card.
        on_event: told of that training.

    Returns:
        Members, total FLOPs, accuracies of the mean and of each member, and what was written.

    Raises:
        UserError: no such study, too few finalists with weights, no such view, or `out` is taken.
        ArchsearchError: something of the study is gone or damaged, or an export failed.
    """
    from archsearch.ensembles.ensembling import ensemble as assemble
    from archsearch.ensembles.views import views_of

    place = None if out is None else Path(out)
    with _watched(on_event) as tell:
        return assemble(
            study, home=Path(home), top=top, forms=forms, out=place, overwrite=overwrite, flops=flops,
            single=single, views=views_of(scales, mirror=mirror), license_name=license_name,
            on_event=tell,
        )  # fmt: skip


def predict(model: str | Path, images: Iterable[str | Path], *, top: int = 1) -> "list[Prediction]":
    """Return what an exported model says of image files, as `archsearch predict` does.

    Args:
        model: what `export` wrote, in any format.
        images: files, and folders for all of theirs.
        top: how many classes to name, best first.

    Returns:
        One for each file, in order; what can't be read has a `reason` and no classes.

    Raises:
        UserError: it is no exported model, a package is missing, or a folder holds no image.
        ArchsearchError: the model is damaged.
    """
    from archsearch.inference import predict as asking
    from archsearch.inference.exported import open_model
    from archsearch.inference.image_files import image_files

    files = image_files(images)
    return list(asking.predict(open_model(model), files, top=top))


def evaluate(
    model: str | Path, data: str | Path, *, split: str | None = None, home: str | Path = "mlruns"
) -> "Evaluation":
    """Return how well an exported model answers on labelled images, as `archsearch evaluate` does.

    Args:
        model: what `export` wrote, in any format.
        data: what `--data` of a run takes.
        split: `test`, `val`, `train` or `all`; None: the test images where there are such, else all.
        home: where a source may keep what it fetched.

    Raises:
        UserError: it is no exported model, or a class of the data is none of the model's.
        DataError: the data can't be used.
    """
    from archsearch.inference import evaluate as judging
    from archsearch.inference.exported import open_model

    return judging.evaluate(open_model(model), str(data), home=Path(home), split=split)


def visualize(
    model: str | Path,
    images: Iterable[str | Path],
    *,
    out: str | Path = "seen",
    overwrite: bool = False,
) -> "Visualized":
    """Draw what a network sees in images, and return where the page is, as `archsearch visualize` does.

    Args:
        model: what `export` wrote, as `saved_model` or `keras`.
        images: files, and folders for all of theirs.
        out: the folder that is written.
        overwrite: replace what is at `out`.

    Raises:
        UserError: as for `predict`; or something is at `out`.
    """
    from archsearch.inference.exported import open_model
    from archsearch.inference.image_files import image_files
    from archsearch.inference.visualization.visualize import visualize as draw

    return draw(open_model(model), image_files(images), Path(out), overwrite=overwrite)
