"""Takes an open study through what is left of it: the search, the finals, measuring."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from archsearch.archive.leaderboard import read_result
from archsearch.archive.orders import Training
from archsearch.archive.store import StudyStore
from archsearch.archive.study_folder import StudyFolder
from archsearch.engines.engine import Engine
from archsearch.exchange.gauge import Gauge
from archsearch.planning.baselines import wants_matched
from archsearch.planning.problem import Problem, SearchProblem
from archsearch.readings.workload import COEFFICIENTS, coefficients_of
from archsearch.settings import RunSettings
from archsearch.space.budget import Budget, Request
from archsearch.space.solve import solve
from archsearch.strategy.bounds import Bounds
from archsearch.strategy.fidelity import chosen, find_fidelity
from archsearch.strategy.latencies import Latencies
from archsearch.strategy.latency_fit import LatencyBound
from archsearch.strategy.phase import Phase
from archsearch.strategy.sampler import Choices, find_sampler
from archsearch.strategy.search import Search, SearchPlan, window_of
from archsearch.strategy.slices import samplers_of
from archsearch.study.events import Event
from archsearch.study.finalists import (
    announced,
    contenders,
    ended_before,
    finals_of,
    get_ready,
    keep_what_is_left,
    tell_latencies,
    unmeasured,
)
from archsearch.study.interrupt import Interrupted
from archsearch.study.loop import Loop
from archsearch.study.recorder import StudyRecorder
from archsearch.surrogate.prior import LinearPrior
from archsearch.units import parse_duration, parse_latency


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenStudy:
    """A study and what it is taken through with.

    Attributes:
        emit: told of every event.
        clock: seconds.
        stopped: true once the user wants to stop.
        gauge: measures latency; None: it is not measured.
    """

    store: StudyStore
    folder: StudyFolder
    problem: Problem
    engine: Engine
    bounds: Bounds
    emit: Callable[[Event], None]
    clock: Callable[[], float]
    stopped: Callable[[], bool]
    gauge: Gauge | None = None

    def conduct(self) -> None:
        """Search, retrain the best, measure them; or train the one network of a full training.

        Raises:
            Interrupted: the user stopped it; what has ended is kept.
        """
        recorder = StudyRecorder(
            store=self.store,
            folder=self.folder,
            make_job=self.problem.job,
            knobs=self.problem.knobs,
            emit=self.emit,
        )
        loop = Loop(self.engine, recorder, clock=self.clock, stopped=self.stopped, gauge=self.gauge)
        if isinstance(self.problem, SearchProblem):
            self._search(loop, recorder, self.problem)
        self._finals(loop, recorder)
        self._latencies(loop)
        result = read_result(self.store)
        if result.kept_keys and not self.store.facts.left:  # another may yet be the best
            others = [str(key) for _, key in contenders(self.store, result)]
            self.folder.keep_weights(result.kept_keys, besides=others)

    def _search(self, loop: Loop, recorder: StudyRecorder, problem: SearchProblem) -> None:
        store, gauge = self.store, self.gauge
        search = search_of(store, problem, self.bounds, measures=gauge is not None)
        recorder.recall(by_decision(store))
        self._run(loop, search, None if gauge is None else gauge.warm_up)
        for trial in store.trials:
            store.finish(trial.number)

    def _finals(self, loop: Loop, recorder: StudyRecorder) -> None:
        store, gauge = self.store, self.gauge
        finals = finals_of(store, self.problem.settings, self.bounds, self.problem.length)
        self.emit(announced(store, finals))
        recorder.recall(ended_before(store, finals))

        def ready() -> None:
            if gauge is not None:
                get_ready(gauge, store, self.folder, finals)

        self._run(loop, finals, ready)
        keep_what_is_left(store, finals, self.emit)

    def _latencies(self, loop: Loop) -> None:
        if self.gauge is None:
            return
        retrained = [row for row in read_result(self.store).rows if row.retrained]
        self._run(loop, Latencies(unmeasured(self.store), bounds=self.bounds))
        tell_latencies(retrained, self.store, self.emit)

    def _run(self, loop: Loop, phase: Phase, ready: Callable[[], None] | None = None) -> None:
        if not loop.run(phase, ready=ready):
            raise Interrupted(f"study {self.store.name!r} was interrupted")


def search_of(
    store: StudyStore, problem: SearchProblem, bounds: Bounds, *, measures: bool
) -> Search:
    """Return the search of a study, or what is left of it; `measures`: latency can be measured."""
    # The study's own, also where it is resumed with other workers: decisions depend on them.
    settings = store.facts.settings
    space, request = problem.space, problem.request
    choices = choices_of(store, problem)
    epochs = problem.length(problem.flops).epochs
    bound = problem.settings.max_latency
    latency = None
    if bound is not None and measures:
        latency = LatencyBound(
            max_ms=parse_latency(bound),
            text=bound,
            solve=lambda knobs, flops: solve(space, knobs, request, within=Budget(1, flops)),
        )
    plan = SearchPlan(
        choices=choices,
        sampler=samplers_of(find_sampler(settings.sampler), choices),
        fidelity=find_fidelity(chosen(settings.fidelity, epochs))(choices.startup),
        length=problem.length,
        matched=wants_matched(settings) and not (choices.taken or choices.slices),
        window=window_of(settings.workers or 1),
        prune=settings.prune,
        latency=latency,
    )
    return Search(plan, bounds=bounds, trials=store.trials, closed=bool(store.facts.ended))


def choices_of(store: StudyStore, problem: SearchProblem) -> Choices:
    """Return what the search of a study chooses from, in all slices together where there are several."""
    requests = problem.requests
    classics = [design for design in store.facts.baselines if design.origin == "matched"]
    earlier = store.facts.learnt
    prior = None if earlier is None else LinearPrior(earlier.weights)
    durations = store.facts.durations

    def of_slice(request: Request) -> Choices:
        return Choices(
            knobs=problem.space.knobs(request),
            solve=lambda knobs: solve(problem.space, knobs, request),
            classic=problem.space.classic_knobs(request),
            trials=-(-problem.settings.trials // len(requests)),
            # The study's own, also where it is resumed with other ones.
            seed=store.facts.settings.seed,
            val_images=len(problem.dataset.val),
            keeping=problem.space.keeping(request),
            margin=store.facts.settings.margin,
            guessing=store.facts.dataset.common_share or 0.0,
            taken=frozenset(design.graph for design in classics),
            prior=prior,
            time_s=_time_s(problem.settings),
            efforts=COEFFICIENTS if durations is None else coefficients_of(durations.coefficients),
        )

    largest = of_slice(requests[-1])
    if not problem.slices:
        return largest
    slices = tuple(replace(of_slice(asked), budget=asked.budget.high) for asked in requests)
    return replace(largest, knobs=problem.knobs, trials=problem.settings.trials, slices=slices)


def _time_s(settings: RunSettings) -> float | None:
    if settings.max_time is None:
        return None
    return parse_duration(settings.max_time) * (settings.workers or 1)


def by_decision(store: StudyStore) -> Iterable[Training]:
    """Return a search's trainings in the order they were decided on."""
    trainings = [training for trial in store.trials for training in trial.trainings]
    return sorted(trainings, key=lambda training: training.order.decision or 0)
