"""A study that is there, as an object for notebooks and scripts: `archsearch.load_study`."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from archsearch.archive.leaderboard import Row, StudyResult
from archsearch.archive.study_folder import StudyFolder
from archsearch.errors import UserError
from archsearch.study.catalogue import kept_networks, load_result, opened_existing

if TYPE_CHECKING:
    from pandas import DataFrame

    from archsearch.rules.audit import Audit


class Study:
    """A study that is there; each call reads it anew, so that one that still runs can be watched.

    In tables accuracies are from 0 to 1, and what is not known is missing.

    Attributes:
        name: its name.
        home: where it lies.
    """

    def __init__(self, name: str, *, home: Path) -> None:
        self.name = name
        self.home = home
        load_result(name, home=home)  # one that is not there is told now

    def __repr__(self) -> str:
        result = self.result
        return f"<Study {self.name}: {result.status}, {len(result.rows)} networks>"

    def _repr_html_(self) -> str:
        """Return what a notebook shows: how it stands, and its leaderboard."""
        return f"<p>{self.name}: {self.status}</p>{self.leaderboard().to_html(index=False)}"

    @property
    def result(self) -> StudyResult:
        """Everything there is to say of it, as `archsearch leaderboard --json` has it."""
        return load_result(self.name, home=self.home)

    @property
    def status(self) -> str:
        """How it stands: `running`, `interrupted`, `complete` or `failed`."""
        return self.result.status

    @property
    def winner(self) -> Row | None:
        """The network that won; None before the finals."""
        return self.result.winner

    def leaderboard(self) -> "DataFrame":
        """Return its networks, best first: a row each."""
        from archsearch.report.notebook.frames import leaderboard_frame

        return leaderboard_frame(self.result)

    def trials(self) -> "DataFrame":
        """Return the trials of the search: a row each, with its knobs as columns `knob_NAME`."""
        from archsearch.report.notebook.frames import trials_frame

        with opened_existing(self.name, home=self.home) as store:
            return trials_frame(store.trials)

    def curves(self) -> "DataFrame":
        """Return the trainings of search and finals: a row for each epoch of each.

        study.curves().query("purpose == 'final'").pivot_table("val_accuracy", "epoch", "label").plot()
        """
        from archsearch.report.notebook.frames import curves_frame

        with opened_existing(self.name, home=self.home) as store:
            labels = {row.name: row.label for row in self.result.rows}
            tried = [each.order.key for trial in store.trials for each in trial.trainings]
            keys = [*tried, *store.finals]
            return curves_frame(keys, labels, StudyFolder(self.home, self.name))

    def report(self, out: str | Path | None = None, *, form: str = "html") -> Path:
        """Write its report and return the file's path, as `archsearch report` does; MLflow has the page, too.

        Args:
            out: a folder, or an `.html` file; None: in the study.
            form: `html`, one file with everything in it, or `md`, Markdown with pictures beside it.

        Raises:
            UserError: no network has an accuracy yet, the file can't be written, or there is no such form.
        """
        from archsearch.report.written import write_html, write_markdown

        forms = {"html": write_html, "md": write_markdown}
        if form not in forms:
            raise UserError(f"form is {form!r}; give html or md")
        path, _ = forms[form]([self.name], home=self.home, out=None if out is None else Path(out))
        return path

    def compare(self, *others: "Study | str") -> "DataFrame":
        """Return this study and others side by side, best first: a row each.

        What keeps them from being compared fairly is in the table's `attrs["cautions"]`.

        Args:
            others: studies, or names of studies in the same home.

        Raises:
            UserError: there is no such study.
        """
        from archsearch.report.analysis import compare
        from archsearch.report.notebook.frames import comparison_frame

        named = (s if isinstance(s, Study) else Study(s, home=self.home) for s in others)
        return comparison_frame(compare([self.result, *(study.result for study in named)]))

    def check(self, *, rules: Iterable[str] = (), trial: int | None = None) -> "tuple[Audit, ...]":
        """Return where its networks depart from the design rules, as `archsearch.check` does.

        Args:
            rules: the names of the rules to check; none named: those that each network is to hold.
            trial: the number of the one network to check.

        Raises:
            UserError: there is no rule or trial of that name.
        """
        from archsearch.rules.audit import audits

        return audits(kept_networks(self.name, home=self.home, trial=trial), rules)
