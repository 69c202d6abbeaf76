"""A study's events by name, for whoever writes a class rather than a function of an event."""

from collections.abc import Mapping
from typing import ClassVar

from archsearch.study.events import (
    EpochDone,
    Event,
    FinalistsStarted,
    JobEnded,
    JobStarted,
    Notice,
    Planned,
    StudyEnded,
    StudyStarted,
)


class Callback:
    """Told of a study as it runs: override what you want to hear, and give an object as `on_event`.

        class Best(archsearch.Callback):
            def on_training_end(self, event):
                if event.best:
                    print(event.order.design.label, event.outcome.val_accuracy)

        archsearch.search(settings, on_event=Best())

    Each method is given the event, a frozen value of `archsearch.study.events`. It is called in the process
    that drives the study, between two of its steps: what takes long keeps workers waiting.
    """

    _METHODS: ClassVar[Mapping[type[Event], str]] = {
        StudyStarted: "on_study_start",
        Planned: "on_plan",
        JobStarted: "on_training_start",
        EpochDone: "on_epoch_end",
        JobEnded: "on_training_end",
        FinalistsStarted: "on_finals_start",
        Notice: "on_notice",
        StudyEnded: "on_study_end",
    }

    def __call__(self, event: Event) -> None:
        """Call the method that is about this event, where there is one."""
        method = self._METHODS.get(type(event))
        if method is not None:
            getattr(self, method)(event)

    def on_study_start(self, event: StudyStarted) -> None:
        """Hear that the images are prepared: `event.settings`, with every default filled in."""

    def on_plan(self, event: Planned) -> None:
        """Hear what the run is going to take: `event.forecast`."""

    def on_training_start(self, event: JobStarted) -> None:
        """Hear that a network begins to train: `event.order.design`."""

    def on_epoch_end(self, event: EpochDone) -> None:
        """Hear how a network stands after an epoch: `event.report.val_accuracy`, from 0 to 1."""

    def on_training_end(self, event: JobEnded) -> None:
        """Hear how a training ended: `event.outcome`, `event.best`."""

    def on_finals_start(self, event: FinalistsStarted) -> None:
        """Hear that the search is over, and who is retrained: `event.entrants`."""

    def on_notice(self, event: Notice) -> None:
        """Hear something that a person should hear: `event.text`."""

    def on_study_end(self, event: StudyEnded) -> None:
        """Hear that the run is over: `event.result`."""
