"""Gives jobs to workers on a Ray cluster, hears what they say, and mends what is lost with a node."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import ray

from archsearch.engines.engine import Message
from archsearch.engines.local import Main
from archsearch.engines.ray_crew import Crew, Task, after_loss, why_lost
from archsearch.engines.ray_data import (
    Shipment,
    checkpoints,
    facts_of,
    keep_checkpoint,
    read_files,
    shipped,
)
from archsearch.engines.ray_places import Place
from archsearch.engines.ray_worker import VERSION, RayWorker, Told
from archsearch.errors import MachineError
from archsearch.training.job import Job, Outcome, WorkerLost, from_json, to_json
from archsearch.units import counted
from archsearch.whole_files import write_whole

_LISTEN_S: Final = 0.5
"""How long a worker is listened to at a time; meanwhile it hears nothing else."""
_START_FAILURES: Final = 3
"""Deaths in a row, before it could take a job, after which a place is given up."""
_IDLE_S: Final = 60.0
"""Seconds without a job after which a place is given back, so that the cluster may shrink."""
_ALONE_S: Final = 60.0
"""Seconds without any worker after which the user is told, once."""
_GRACE_S: Final = 10.0


class Dispatcher:
    """What an engine on Ray does, in the process that is connected to the cluster.

    Args:
        places: for workers; all are asked for at once, and those that a node has room for are given jobs.
        main: what a worker runs.
    """

    def __init__(self, places: Sequence[Place], *, main: Main) -> None:
        self._crews = [Crew(place) for place in places]
        self._main = main
        self._actors = ray.remote(RayWorker)
        self._queue: deque[Task] = deque()
        self._ready: list[Message] = []
        # What is asked of actors, and who takes the answers.
        self._calls: dict[Any, tuple[Crew, Callable[[Any], None]]] = {}
        self._shipments: dict[str, Shipment] = {}
        self._ever_started = False
        self._seen_s = time.monotonic()
        self._missed = False
        for crew in self._crews:
            self._start(crew)

    def submit(self, job: Job) -> None:
        """Take a job."""
        self._queue.append(Task(job))
        self._assign()

    def stop(self, key: str) -> None:
        """End a job after the epoch it is in; at once if it trains nowhere."""
        for task in self._queue:
            if task.job.key == key:
                self._queue.remove(task)
                self._end(task, Outcome.not_begun(key))
                return
        for crew in self._crews:
            if key in crew.tasks:
                crew.tasks[key].stopping = True
                crew.actor.stop.remote(key)

    def listen(self, timeout_s: float) -> list[Message]:
        """Wait up to `timeout_s` for something to happen, and return what there is to be told.

        Raises:
            MachineError: no worker starts any more.
        """
        calls = list(self._calls)
        if calls:
            first, _ = ray.wait(calls, timeout=timeout_s)
            answered, _ = ray.wait(calls, num_returns=len(calls), timeout=0) if first else ([], [])
            for call in answered:
                self._answer(call)
        else:
            time.sleep(timeout_s)
        self._release_idle()
        self._tell_if_alone()
        found, self._ready = self._ready, []
        return found

    def close(self) -> None:
        """End the workers at once, with all that they have started."""
        alive = [crew for crew in self._crews if crew.actor is not None]
        endings = [crew.actor.close.remote() for crew in alive if crew.ready]
        if endings:
            ray.wait(endings, num_returns=len(endings), timeout=_GRACE_S)
        for crew in alive:
            ray.kill(crew.actor)
        self._crews.clear()

    # --- actors ---------------------------------------------------------------------------------------

    def _start(self, crew: Crew) -> None:
        crew.actor = self._actors.options(
            num_cpus=crew.place.cores, num_gpus=crew.place.gpus, max_restarts=0
        ).remote(crew.place.setups, self._main)
        crew.idle_s = time.monotonic()

        def greeted(found: tuple[str, str]) -> None:
            crew.node, other = found
            if other != VERSION:
                self._lose(crew, f"{crew.node} has archsearch {other}; this is {VERSION}")
                return
            crew.ready = self._ever_started = True
            crew.failures = 0
            self._assign()

        self._ask(crew, crew.actor.greet.remote(), greeted)

    def _ask(self, crew: Crew, call: Any, take: Callable[[Any], None]) -> None:
        self._calls[call] = crew, take

    def _answer(self, call: Any) -> None:
        if call not in self._calls:  # its actor was lost a moment ago
            return
        crew, take = self._calls.pop(call)
        try:
            found = ray.get(call)
        except Exception as error:  # whatever a node has come to, others go on
            self._lose(crew, why_lost(error))
        else:
            take(found)

    def _lose(self, crew: Crew, why: str) -> None:
        """Give what a lost actor had to others, and ask for a new one."""
        self._give_back(crew)
        tasks, crew.tasks = list(crew.tasks.values()), {}
        if crew.ready:
            why = f"worker on {crew.node} was lost: {why}"
            if not tasks:
                self._ready.append(WorkerLost(why=why))
        else:
            crew.failures += 1
        crew.ready = False
        for task in reversed(tasks):
            outcome = after_loss(task, why)
            if outcome is not None:
                self._end(task, outcome)
                continue
            self._ready.append(WorkerLost(why=why, key=task.job.key))
            self._queue.appendleft(task)
        if crew.failures >= _START_FAILURES:
            self._crews.remove(crew)
            if not self._crews or not self._ever_started:
                raise MachineError(f"workers do not start on the Ray cluster: {why}")
            self._ready.append(WorkerLost(why=f"a worker does not start any more: {why}"))
        self._assign()

    def _give_back(self, crew: Crew) -> None:
        self._forget_calls(crew)
        ray.kill(crew.actor)
        crew.actor, crew.listening = None, False

    def _forget_calls(self, crew: Crew) -> None:
        self._calls = {call: asked for call, asked in self._calls.items() if asked[0] is not crew}

    def _release_idle(self) -> None:
        """Give back places that nobody needs: what asks for none makes no cluster grow."""
        now = time.monotonic()
        for crew in self._crews:
            if crew.tasks or self._queue:
                crew.idle_s = now
            elif crew.actor is not None and now - crew.idle_s > _IDLE_S:
                if crew.ready:
                    crew.actor.close.remote()
                # Ray ends an actor that nobody holds, after what it was asked before.
                self._forget_calls(crew)
                crew.actor, crew.ready, crew.listening = None, False, False

    def _tell_if_alone(self) -> None:
        now = time.monotonic()
        if not self._queue or any(crew.ready for crew in self._crews):
            self._seen_s, self._missed = now, False
        elif not self._missed and now - self._seen_s > _ALONE_S:
            self._missed = True
            least = min((crew.place for crew in self._crews), key=lambda place: place.cores)
            gpus = f" and {counted(least.gpus, 'GPU')}" if least.gpus else ""
            wanted = f"{counted(least.cores, 'free core')}{gpus}"
            self._ready.append(WorkerLost(why=f"no node of the Ray cluster has {wanted}; waiting"))

    # --- jobs -----------------------------------------------------------------------------------------

    def _assign(self) -> None:
        """Give jobs that wait to workers that have none; ask for places that were given back."""
        for crew in self._crews:
            while self._queue and crew.has_room:
                task = self._queue.popleft()
                crew.tasks[task.job.key] = task
                self._send(crew, task)
        coming = sum(
            len(c.place.setups) for c in self._crews if c.actor is not None and not c.ready
        )
        for crew in self._crews:
            if crew.actor is None and len(self._queue) > coming:
                self._start(crew)
                coming += len(crew.place.setups)

    def _send(self, crew: Crew, task: Task, shipment: Shipment | None = None) -> None:
        job = task.job
        folder = Path(job.checkpoint) if job.checkpoint else None
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        kept = checkpoints(folder) if folder is not None else []
        facts = facts_of(Path(job.dataset)) if job.dataset else None

        def taken(there: bool) -> None:
            if not there:
                self._send(crew, task, self._shipment(job.dataset))
                return
            if task.stopping:  # it may have been told before it had the job
                crew.actor.stop.remote(job.key)
            self._listen_to(crew)

        call = crew.actor.submit.remote(to_json(job), read_files(kept), facts, shipment)
        self._ask(crew, call, taken)

    def _shipment(self, folder: str) -> Shipment:
        """Return a dataset's shipment; it is made once, where a node first needs it."""
        if folder not in self._shipments:
            self._shipments[folder] = shipped(Path(folder), put=ray.put, fetch=ray.get)
        return self._shipments[folder]

    def _listen_to(self, crew: Crew) -> None:
        if crew.listening or not crew.tasks:
            return
        crew.listening = True

        def heard(told: list[Told]) -> None:
            crew.listening = False
            for one in told:
                self._hear(crew, one)
            self._assign()
            self._listen_to(crew)

        self._ask(crew, crew.actor.events.remote(_LISTEN_S), heard)

    def _hear(self, crew: Crew, told: Told) -> None:
        message = from_json(told.text)
        assert not isinstance(message, Job)
        task = crew.tasks.get(message.key)
        if task is None:
            if isinstance(message, WorkerLost):
                self._ready.append(message)
            return
        if told.checkpoint is not None and task.job.checkpoint:
            keep_checkpoint(Path(task.job.checkpoint), *told.checkpoint)
        if not isinstance(message, Outcome):
            task.reported = task.reported or not isinstance(message, WorkerLost)
            self._ready.append(message)
            return
        if told.weights is not None and task.job.weights:
            path = Path(task.job.weights)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, told.weights)
        del crew.tasks[message.key]
        crew.idle_s = time.monotonic()
        self._end(task, message)

    def _end(self, task: Task, outcome: Outcome) -> None:
        lost = outcome.worker_lost or (task.why if outcome.reason != task.why else "")
        self._ready.append(replace(outcome, worker_lost=lost))
