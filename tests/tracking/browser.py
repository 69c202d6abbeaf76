"""Drives MLflow's page in headless Chromium: the runs list, its columns, selecting, comparing.

As a script it makes the screenshots of the documentation, from a made-up study or a real home:

    python tests/tracking/browser.py --out docs/mlflow-compare.png
    python tests/tracking/browser.py --home mlruns --study resnext-20M --out docs/mlflow-compare.png
"""

import argparse
import contextlib
import importlib.util
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from archsearch.tracking.connect import open_client, store_uri
from archsearch.tracking.mlflow_tracker import MlflowTracker
from archsearch.tracking.saved_view import study_url
from archsearch.tracking.server import start_ui

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
CHROMEDRIVER = shutil.which("chromedriver")

_WAIT_S = 60.0


def missing() -> str:
    """Say what keeps a browser from being driven; empty if nothing does."""
    if not CHROMIUM or not CHROMEDRIVER:
        return "needs Debian's packages chromium and chromium-driver"
    if importlib.util.find_spec("selenium") is None:
        return "needs selenium (pip)"
    return ""


class Page:
    """MLflow's page in a browser window."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def until(self, what: str, found: Callable[[], Any]) -> Any:
        """Wait until something is there, and return it."""
        from selenium.common.exceptions import WebDriverException

        until = time.monotonic() + _WAIT_S
        while time.monotonic() < until:
            with contextlib.suppress(WebDriverException):  # the page was drawn anew meanwhile
                if value := found():
                    return value
            time.sleep(0.2)
        where = f"{self.driver.current_url}:\n{self.text()[:2000]}"
        raise AssertionError(f"no {what} in {_WAIT_S:g} s at {where}")

    def script(self, code: str, *arguments: Any) -> Any:
        """Run JavaScript in the page."""
        return self.driver.execute_script(code, *arguments)

    def open_runs(self, url: str) -> list[str]:
        """Open a study's list; the run names in it, top to bottom."""
        self.driver.get(url)
        # The saved view is applied to a list that is there already.
        self.until("saved view", lambda: "val_accuracy" in self.columns())
        return self.until("list of runs", self.names)

    def names(self) -> list[str]:
        """Return the names in the list of runs, top to bottom."""
        return self.script(
            """return [...document.querySelectorAll('.ag-center-cols-container .ag-row,'
                + '.ag-pinned-left-cols-container .ag-row')]
              .filter(row => row.querySelector('a'))
              .sort((a, b) => a.getAttribute('row-index') - b.getAttribute('row-index'))
              .map(row => row.querySelector('a').innerText)"""
        )

    def columns(self) -> list[str]:
        """Return the list's column titles, left to right."""
        return self.script(
            """return [...document.querySelectorAll('.ag-header-cell')]
              .sort((a, b) => a.getBoundingClientRect().x - b.getBoundingClientRect().x)
              .map(cell => cell.innerText.trim()).filter(text => text)"""
        )

    def select(self, names: Sequence[str]) -> None:
        """Tick runs in the list."""
        for name in names:
            index = self.script(
                """return [...document.querySelectorAll('.ag-row')].find(row =>
                  [...row.querySelectorAll('a')].some(a => a.innerText === arguments[0])
                ).getAttribute('row-index')""",
                name,
            )
            box = f".ag-row[row-index='{index}'] input[type=checkbox]"
            self.script("document.querySelector(arguments[0]).click()", box)

    def compare(self) -> str:
        """Press Compare; the text of the page that opens."""
        button = self.until(
            "Compare button",
            lambda: [
                button
                for button in self.driver.find_elements("css selector", "button")
                if button.text.strip() == "Compare"
            ],
        )[0]
        button.click()
        self.until("compare page", lambda: "compare-runs" in self.driver.current_url)
        return self.until(
            "table of metrics",
            lambda: (text := self.text()) and "val_accuracy" in text and "Metrics" in text and text,
        )

    def tab(self, name: str) -> None:
        """Open a tab."""
        tabs = self.driver.find_elements("css selector", "[role=tab]")
        next(tab for tab in tabs if tab.text.strip() == name).click()

    def axes(self, kind: str) -> list[str]:
        """Return what the axes of a plot of one of Plotly's kinds stand for; empty: it is not there yet."""
        return self.script(
            """for (const plot of document.querySelectorAll('.js-plotly-plot')) {
                 if (!plot.data?.length || !plot.data[0].type?.startsWith(arguments[0])) continue;
                 const dimensions = plot.data[0].dimensions;
                 if (dimensions) return dimensions.map(one => one.label);
                 const {xaxis, yaxis} = plot.layout;
                 return [xaxis, yaxis].map(axis => axis.title?.text ?? axis.title);
               }
               return []""",
            kind,
        )

    def unfold(self, name: str) -> None:
        """Show what is nested in a run of the list."""
        self.script(
            """const row = [...document.querySelectorAll('.ag-row')].find(row =>
                 [...row.querySelectorAll('a')].some(a => a.innerText === arguments[0]));
               const button = [...row.querySelectorAll('button')].find(button =>
                 button.querySelector('svg'));
               button.click()""",
            name,
        )

    def fold_sidebar(self) -> None:
        """Give the page the width of the menu at its left."""
        toggle = "[data-component-id='mlflow_header.toggle_sidebar_button']"
        self.driver.find_element("css selector", toggle).click()

    def unfold_metrics(self) -> None:
        """Show the whole table of metrics, of which the page shows seven rows at a time."""
        self.script(
            """let table = [...document.querySelectorAll('a')].find(
                 link => link.innerText === 'val_accuracy');
               while (!table.innerText.includes('Show diff only')) table = table.parentElement;
               for (const box of table.querySelectorAll('div')) {
                 if (box.scrollHeight > box.clientHeight + 4) {
                   box.style.height = 'auto'; box.style.maxHeight = 'none';
                 }
               }"""
        )

    def text(self) -> str:
        """Return the page's text."""
        return self.script("return document.body.innerText")

    def shoot(self, file: Path, *, height: int | None = None) -> None:
        """Save what the window shows, or a taller window would."""
        if height:
            width = self.driver.get_window_size()["width"]
            self.driver.set_window_size(width, height)
            time.sleep(2.0)  # plots are drawn anew
        file.parent.mkdir(parents=True, exist_ok=True)
        self.driver.save_screenshot(str(file))


@contextlib.contextmanager
def browser(width: int = 1700, height: int = 1000, *, chat: bool = False) -> Iterator[Page]:
    """Open a headless Chromium with a profile of its own; `chat`: MLflow's may open, as on a first visit."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    with tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as profile:
        options = webdriver.ChromeOptions()
        options.binary_location = CHROMIUM or ""
        for flag in (
            "headless=new",
            "no-sandbox",
            "disable-gpu",
            "disable-quic",
            "disable-dev-shm-usage",
            "no-first-run",
            "disable-background-networking",
            "disable-component-update",
            "disable-sync",
            "hide-scrollbars",
            f"window-size={width},{height}",
            f"user-data-dir={profile}",
        ):
            options.add_argument(f"--{flag}")
        driver = webdriver.Chrome(options=options, service=Service(CHROMEDRIVER))
        try:
            if not chat:
                driver.execute_cdp_cmd(
                    "Page.addScriptToEvaluateOnNewDocument",
                    {
                        "source": "localStorage['mlflow.assistant.panelOpen_v1'] = 'false';"
                        "localStorage['mlflow.assistant.fab.autoOpenedOnFirstLoad_v1'] = 'true';"
                    },
                )
            yield Page(driver)
        finally:
            driver.quit()


def main() -> None:
    """Make the screenshots."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--home", type=Path, help="an existing home (default: a made-up study)")
    parser.add_argument("--study", default="resnext-20M")
    parser.add_argument("--out", type=Path, default=Path("docs/mlflow-compare.png"))
    parser.add_argument("--runs-out", type=Path, help="also save the list of runs here")
    parser.add_argument("--select", nargs="*", help="runs to compare (default: the first six)")
    parser.add_argument("--height", type=int, default=2100, help="of the compare page, px")
    options = parser.parse_args()
    if problem := missing():
        parser.error(problem)
    with contextlib.ExitStack() as stack:
        home = options.home
        if home is None:
            from believable import tell_study

            home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            with MlflowTracker(home) as tracker:
                tell_study(tracker, options.study)
                tracker.flush()
        found = open_client(store_uri(home)).get_experiment_by_name(options.study)
        if found is None:
            parser.error(f"no study {options.study!r} in {home}")
        server = stack.enter_context(start_ui(home, port=0))
        page = stack.enter_context(browser(width=1500))
        names = page.open_runs(study_url(server.url, found.experiment_id))
        print("columns:", page.columns())
        if options.runs_out:
            page.shoot(options.runs_out)
        page.select(options.select or names[:6])
        page.compare()
        page.fold_sidebar()
        page.unfold_metrics()
        page.shoot(options.out, height=options.height)


if __name__ == "__main__":
    main()
