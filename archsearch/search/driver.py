"""A whole run: data, search, finals, export; and taking up a run that was cut off."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from archsearch.data.dataset import Dataset, load
from archsearch.data.prepare import prepare
from archsearch.errors import ArchsearchError, UserError
from archsearch.readings.cost import cost
from archsearch.runtime.recipe import Recipe, find_recipe
from archsearch.search.baselines import named_baselines, published_networks, wants_matched
from archsearch.search.events import Event, ExportStarted, Notice, StudyEnded, StudyStarted
from archsearch.search.finalists import Finals, run_finals
from archsearch.search.folder import StudyFolder
from archsearch.search.interrupt import Interrupts
from archsearch.search.journal import Journal
from archsearch.search.lock import locked
from archsearch.search.result import StudyResult, read_result
from archsearch.search.services import Services, default_workers, real_services
from archsearch.search.storage import StudyStore, default_url, opened, study_names
from archsearch.search.study import Interrupted, Plan, Search, facts_of
from archsearch.search.summary import (
    HEADER,
    dataset_facts,
    dataset_record,
    note_rows,
    study_metrics,
)
from archsearch.settings import (
    RunSettings,
    default_study_name,
    differences,
    gather,
    nearest,
)
from archsearch.space.budget import Budget, Request
from archsearch.space.registry import find_space
from archsearch.space.solve import solve
from archsearch.space.space import Space
from archsearch.tracking.names import study_note
from archsearch.tracking.records import StudyRecord, StudyStatus, Tracker
from archsearch.units import format_count, format_size

_PLACE: Final = ("home", "storage", "tracking_uri", "export")
"""Settings that change where results go, not what they are."""


def run(
    settings: RunSettings,
    *,
    on_event: Callable[[Event], None] = lambda event: None,
    services: Services | None = None,
) -> StudyResult:
    """Run a new study to its end.

    Args:
        settings: what is asked for.
        on_event: told what happens, from the calling thread (warnings also from others).
        services: the outside world.

    Raises:
        UserError: something asked for does not work; nothing has been kept then.
        Interrupted: the user stopped the run; `resume` goes on with it.
        ArchsearchError: no trial could be trained.
    """
    return _Run(settings, on_event, services or real_services(), resume=False).run()


def resume(
    name: str,
    *,
    home: Path,
    on_event: Callable[[Event], None] = lambda event: None,
    services: Services | None = None,
) -> StudyResult:
    """Go on with a study that was cut off; one that has ended gives its result again.

    Raises:
        UserError: there is no such study, its data has changed, or another process drives it.
        Interrupted: the user stopped the run again.
    """
    return _Run(
        stored_settings(name, home), on_event, services or real_services(), resume=True
    ).run()


def stored_settings(name: str, home: Path) -> RunSettings:
    """Return a study's settings from its run.toml; its home is where it lies now.

    Raises:
        UserError: there is no such study.
    """
    path = StudyFolder(home, name).settings
    if not path.is_file():
        known = sorted(p.parent.name for p in (home / "studies").glob("*/run.toml"))
        hint = nearest(name, tuple(known)) if known else "there are none yet"
        raise UserError(f"no study {name!r} in {home}; {hint}")
    return replace(gather({}, config=path), home=str(home), name=name)


@dataclass(frozen=True, slots=True)
class _Prepared:
    """What is known before a study is made, all of it checked."""

    space: Space
    recipe: Recipe
    folder: Path
    dataset: Dataset
    request: Request


class _Run:
    def __init__(
        self,
        settings: RunSettings,
        on_event: Callable[[Event], None],
        services: Services,
        *,
        resume: bool,
    ) -> None:
        self._settings = settings
        self._emit = on_event
        self._services = services
        self._resume = resume
        self._home = Path(settings.home)

    def run(self) -> StudyResult:
        began = time.monotonic()
        prepared = self._prepare()
        # Whatever does not work shows here, before anything is kept.
        graphs = published_networks(self._settings, prepared.request)
        solve(prepared.space, prepared.space.classic_knobs(prepared.request), prepared.request)
        url = self._settings.storage or default_url(self._home)
        with Interrupts() as interrupts, opened(url) as storage:
            settings = self._settle(study_names(storage))
            assert settings.name is not None
            folder = StudyFolder(self._home, settings.name)
            folder.create()
            with locked(folder.lock, study=settings.name):
                try:
                    store = self._open(storage, settings, folder, prepared)
                except UserError:
                    folder.delete_if_unused()
                    raise
                if self._resume and store.attributes.get("status") == "complete":
                    return read_result(store)
                store.set_attribute("status", "running")
                if "published" not in store.attributes:
                    facts = self._published_facts(graphs, prepared, folder)
                    store.set_attribute("published", facts)
                self._started(store, folder, prepared)
                with self._tracked(store, settings, prepared, began) as tracker:
                    journal = Journal(
                        folder=folder,
                        tracker=tracker,
                        dataset=str(prepared.folder),
                        recipe=prepared.recipe,
                        tags={"space": settings.space, "budget": settings.flops},
                        on_event=self._emit,
                    )
                    self._train(store, folder, prepared, journal, interrupts)
                    self._check_result(store)
                    if settings.export:
                        self._export(store, folder)
                result = read_result(store)
        self._emit(StudyEnded(result=result))
        return result

    def _prepare(self) -> _Prepared:
        asked = self._settings
        space = find_space(asked.space)
        recipe = find_recipe(asked.recipe)
        if asked.batch_size is not None:
            recipe = replace(recipe, batch=asked.batch_size)
        if asked.class_weights:
            recipe = replace(recipe, class_weights=True)
        # Misspelt names show before the data is prepared.
        named_baselines(asked)
        space.check_relaxed(Request((32, 32, 3), 2, Budget(1, 1), asked.relaxed()))
        path = prepare(
            asked.data,
            home=self._home,
            input=asked.image_size,
            seed=asked.seed,
            val=asked.val_fraction,
            test=asked.test_fraction,
            mirror=asked.mirror,
            strict=asked.strict,
        )
        dataset = load(path)
        if recipe.batch > len(dataset.train):
            raise UserError(
                f"a batch of {recipe.batch} is larger than the {len(dataset.train)} images to "
                f"train on; give a smaller --batch-size"
            )
        budget = Budget.parse(asked.flops, dataset.input)
        request = Request(
            input=dataset.input,
            classes=len(dataset.classes),
            budget=budget,
            relax=asked.relaxed(),
        )
        images = asked.images(flops=budget.high, train_images=len(dataset.train))
        if images < recipe.batch:
            least = format_count(3 * budget.high * len(dataset.train))
            raise UserError(
                f"{asked.train_flops} training FLOPs are {images} images of {asked.flops}, not even "
                f"a batch of {recipe.batch}; one epoch takes {least}"
            )
        return _Prepared(space, recipe, path.resolve(), dataset, request)

    def _settle(self, taken: list[str]) -> RunSettings:
        """Fill in what was left open: workers and name."""
        settings = self._settings
        if settings.workers is None:
            settings = replace(settings, workers=default_workers())
        if settings.name is None:
            base = default_study_name(settings)
            used = {*taken, *(path.name for path in (self._home / "studies").glob("*"))}
            names = (base if n == 1 else f"{base}-{n}" for n in range(1, len(used) + 2))
            settings = replace(settings, name=next(name for name in names if name not in used))
        return settings

    def _open(
        self, storage: Any, settings: RunSettings, folder: StudyFolder, prepared: _Prepared
    ) -> StudyStore:
        name = str(settings.name)
        here = {key: value for key, value in settings.to_dict().items() if key not in _PLACE}
        data = dataset_facts(prepared.dataset)
        exists = name in study_names(storage)
        if exists:
            store = StudyStore.open(storage, name)
            there = store.attributes["settings"]
            before = store.attributes["dataset"]["digest"]
            if self._resume and before != data["digest"]:
                raise UserError(
                    f"the images of study {name!r} have changed since it began (digest "
                    f"{before}, now {data['digest']}); start a new study"
                )
            if not self._resume:
                other = "; ".join(differences(there, here))
                how = f"with other settings ({other})" if other else "with the same settings"
                raise UserError(
                    f"there is a study {name!r} already, {how}; `archsearch resume {name}` goes "
                    "on with it, --name gives this one another name"
                )
        else:
            created = datetime.now().astimezone().isoformat(timespec="seconds")
            facts = {"settings": here, "dataset": data, "created": created}
            # run.toml first: `resume` looks for it, and finds a study that is not made yet.
            folder.write_settings(settings)
            store = StudyStore.create(storage, name, facts)
        return store

    def _published_facts(
        self, graphs: Mapping[str, Any], prepared: _Prepared, folder: StudyFolder
    ) -> dict[str, Any]:
        found = {}
        for name, graph in graphs.items():
            price = cost(graph)
            fill = price.flops / prepared.request.budget.high
            found[name] = {
                "name": name,
                "role": "baseline",
                "origin": "published",
                **facts_of(graph, price, fill=fill, label=name, folder=folder),
            }
        return found

    def _started(self, store: StudyStore, folder: StudyFolder, prepared: _Prepared) -> None:
        plan = self._plan(store, prepared, lambda: False)
        self._emit(
            StudyStarted(
                study=store.name,
                settings=RunSettings.from_dict(
                    {**self._settings.to_dict(), **store.attributes["settings"]}
                ),
                folder=str(folder.path),
                space_title=prepared.space.title,
                distinct=plan.combinations,
                input=prepared.dataset.input,
                classes=len(prepared.dataset.classes),
                images={n: len(prepared.dataset.split(n)) for n in ("train", "val", "test")},
                done=sum(trial.finished for trial in store.trials),
                notes=prepared.dataset.notes,
            )
        )

    def _plan(self, store: StudyStore, prepared: _Prepared, stopped: Callable[[], bool]) -> Plan:
        settings = self._settings
        space, request = prepared.space, prepared.request
        return Plan(
            knobs=space.knobs(request),
            solve=lambda knobs: solve(space, knobs, request),
            length=self._length(prepared),
            classic=space.classic_knobs(request) if wants_matched(settings) else None,
            trials=settings.trials,
            # The study's own, also where it is resumed with other workers: choices depend on it.
            window=store.attributes["settings"]["workers"],
            seed=settings.seed,
            prune=settings.prune,
            stopped=stopped,
        )

    def _length(self, prepared: _Prepared) -> Callable[[int], tuple[int, int]]:
        train = len(prepared.dataset.train)

        def length(flops: int) -> tuple[int, int]:
            images = self._settings.images(flops=flops, train_images=train)
            images = max(images, prepared.recipe.batch)
            return images, -(-images // train)

        return length

    def _train(
        self,
        store: StudyStore,
        folder: StudyFolder,
        prepared: _Prepared,
        journal: Journal,
        interrupts: Interrupts,
    ) -> None:
        def stopped() -> bool:
            return interrupts.requested

        settings = self._settings
        workers = settings.workers or store.attributes["settings"]["workers"]
        engine = self._services.engine(workers, folder)
        parts: dict[str, Any] = {
            "store": store, "folder": folder, "engine": engine, "journal": journal,
        }  # fmt: skip
        try:
            Search(self._plan(store, prepared, stopped), **parts).run()
            finals = Finals(
                finalists=settings.finalists,
                seeds=settings.seeds,
                seed=settings.seed,
                length=self._length(prepared),
                stopped=stopped,
            )
            run_finals(finals, **parts)
        finally:
            engine.close()

    def _check_result(self, store: StudyStore) -> None:
        result = read_result(store)
        if result.winner is None:
            reasons = [row.reason for row in result.rows if row.reason]
            last = f"; the last said: {reasons[-1]}" if reasons else ""
            raise ArchsearchError(f"study {store.name!r}: no network trained to its end{last}")

    def _export(self, store: StudyStore, folder: StudyFolder) -> None:
        self._emit(ExportStarted(out=str(folder.exports)))
        self._services.export(store, folder)

    @contextmanager
    def _tracked(
        self, store: StudyStore, settings: RunSettings, prepared: _Prepared, began: float
    ) -> Iterator[Tracker]:
        """Track the study while the block runs, and keep how it ended."""
        tracker = self._services.tracker(settings, self._warn)
        facts: dict[str, str | int] = {
            "space": prepared.space.title,
            "budget": str(prepared.request.budget),
            "data": f"{prepared.dataset.name}, {format_size(prepared.dataset.input)}",
            "seed": settings.seed,
        }
        status: StudyStatus = "failed"
        patience_s = 30.0
        earlier_s = store.attributes.get("wall_s", 0.0)
        try:
            tracker.start_study(
                StudyRecord(
                    name=store.name,
                    space=settings.space,
                    budget=settings.flops,
                    dataset=dataset_record(prepared.dataset),
                    settings=settings.to_dict(),
                    description=study_note(facts=facts),
                )
            )
            yield tracker
            status = "complete"
        except Interrupted:
            status = "interrupted"
            raise
        except KeyboardInterrupt:
            status, patience_s = "interrupted", 2.0
            raise
        finally:
            store.set_attribute("wall_s", earlier_s + time.monotonic() - began)
            store.set_attribute("status", status)
            result = read_result(store)
            tracker.end_study(
                status,
                metrics=study_metrics(result),
                description=study_note(facts=facts, header=HEADER, rows=note_rows(result)),
            )
            if (problem := tracker.close(patience_s)) is not None:
                self._warn(problem)

    def _warn(self, text: str) -> None:
        self._emit(Notice(text=text))
