"""The page in a real browser, without a network: what a person sees, does, and hears of it."""

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from archsearch.report.page.assemble import assemble
from archsearch.report.page.html import html, write_page
from tests.report.page.made import NASTY, material
from tests.tracking import browser

pytestmark = pytest.mark.skipif(bool(browser.missing()), reason=browser.missing() or "-")
AXE = Path(__file__).parent / "vendor" / "axe.min.js"


class Opened:
    """A page in a window that can reach nothing."""

    def __init__(self, page: browser.Page) -> None:
        self.page, self.script = page, page.script

    def open(self, path: Path, *, dark: bool = False) -> None:
        driver = self.page.driver
        driver.execute_cdp_cmd("Network.enable", {})
        driver.execute_cdp_cmd(
            "Network.emulateNetworkConditions",
            {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0},
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        driver.get(path.as_uri())
        self.page.until(
            "drawn charts", lambda: self.script("return document.documentElement.dataset.drawn")
        )

    def said(self) -> list[str]:
        return [entry["message"] for entry in self.page.driver.get_log("browser")]

    def violations(self, *rules: str) -> list[str]:
        """What axe-core finds that keeps somebody out, by some rules or by all."""
        asked = json.dumps({"runOnly": list(rules)} if rules else {})
        found = self.page.driver.execute_async_script(
            AXE.read_text(encoding="utf-8")
            + f"; const done = arguments[0]; axe.run({asked}).then((f) => done(f.violations));"
        )
        grave = [one for one in found if one["impact"] in ("serious", "critical")]
        return [f"{one['id']}: {[node['target'] for node in one['nodes']][:3]}" for one in grave]

    def names(self) -> list[str]:
        """The networks that the table shows, from top to bottom."""
        rows = "table.sortable tbody tr[data-name]"
        return self.script(
            f"return [...document.querySelectorAll('{rows}')].filter(r => !r.hidden)"
            ".map(r => r.dataset.name)"
        )

    def bubble(self) -> tuple[Any, int, int]:
        """The chart of accuracy against FLOPs, and where a bubble lies, in pixels from its middle."""
        chart = self.page.driver.find_element("css selector", "#s1-complexity svg")
        self.script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", chart)
        across, down = self.script(
            "const b = [...document.querySelectorAll('#s1-complexity .mark-symbol.role-mark path')];"
            "const r = b.at(-1).getBoundingClientRect();"
            "const s = arguments[0].getBoundingClientRect();"
            "return [r.x + r.width / 2 - s.x - s.width / 2, r.y + r.height / 2 - s.y - s.height / 2]",
            chart,
        )
        return chart, int(across), int(down)

    def click(self, selector: str, place: int = 0) -> None:
        self.script(f"document.querySelectorAll(arguments[0])[{place}].click()", selector)


@pytest.fixture(scope="module")
def window() -> Iterator[Opened]:
    with browser.browser(width=1280, height=900) as page:
        page.driver.set_script_timeout(120)
        yield Opened(page)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    text = html(assemble([material()]), written=datetime(2026, 1, 2, 3, 4))
    return write_page(text, tmp_path_factory.mktemp("page") / "report.html")


@pytest.fixture
def opened(window: Opened, file: Path) -> Opened:
    window.open(file)
    return window


def test_every_chart_is_drawn_and_nothing_is_said_or_asked_for(opened: Opened) -> None:
    marks = opened.script(
        "return Object.fromEntries([...document.querySelectorAll('.chart')].map(c => [c.id,"
        "[...c.querySelectorAll('svg .mark-symbol.role-mark path, svg .mark-rect.role-mark path,"
        "svg .mark-line.role-mark path')].filter(p => p.getBBox().width + p.getBBox().height > 0)"
        ".length]))"
    )
    assert set(marks) == {
        f"s1-{key}"
        for key in ("complexity", "pareto", "edf", "curves", "progress", "importance",
                    "dependence", "anatomy", "spending", "confusion", "calibration")
    }  # fmt: skip
    assert {key for key, count in marks.items() if count < 2} == set()
    assert opened.said() == []
    asked = opened.script("return performance.getEntriesByType('resource').map(e => e.name)")
    assert [name for name in asked if not name.startswith("data:")] == []


def test_names_are_text(opened: Opened) -> None:
    assert opened.script("return document.title") == "study-one: archsearch report"
    assert opened.script("return document.querySelectorAll('main b').length") == 0
    assert NASTY in opened.script("return document.querySelector('.verdict').textContent")
    # In the chart, too, and in what is said of a network.
    assert NASTY.split("<b>")[0][:20] in opened.script(
        "return document.querySelector('#s1-complexity svg').textContent"
    )
    opened.click("button.network")
    assert opened.script("return document.getElementById('network-title').textContent") == NASTY


def test_nobody_is_kept_out(opened: Opened) -> None:
    opened.script("for (const one of document.querySelectorAll('details')) one.open = true")
    assert opened.violations() == []


@pytest.mark.slow
def test_the_dark_page_has_contrast(window: Opened, file: Path) -> None:
    window.open(file, dark=True)
    window.script("for (const one of document.querySelectorAll('details')) one.open = true")
    assert window.violations("color-contrast") == []
    window.click("button.network")
    assert window.violations() == []


@pytest.mark.slow
@pytest.mark.slow
def test_dark_and_paper_have_colours_of_their_own(window: Opened, file: Path) -> None:
    found = []
    for dark in (False, True):
        window.open(file, dark=dark)
        found.append(
            window.script(
                "const bar = document.querySelector('#s1-spending .mark-rect.role-mark path');"
                "return [getComputedStyle(document.body).backgroundColor,"
                "getComputedStyle(bar).fill]"
            )
        )
    assert found[0][0] == "rgb(255, 255, 255)"
    assert found[0][1] != found[1][1]  # a mark's, which a specification names by a variable
    window.page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    paper = window.script("return getComputedStyle(document.body).backgroundColor")
    menu = window.script("return getComputedStyle(document.querySelector('nav')).display")
    window.page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    assert (paper, menu) == ("rgb(255, 255, 255)", "none")


def test_the_table_sorts_and_what_is_not_known_comes_last(opened: Opened) -> None:
    heads = opened.script(
        "return [...document.querySelectorAll('table.sortable th')].map(h => h.innerText)"
    )
    column = next(place for place, head in enumerate(heads) if head.startswith("params"))
    opened.click("table.sortable th button", column)
    assert opened.names()[-1] == "trial-0004"
    opened.click("table.sortable th button", column)
    assert opened.names()[:2] == ["trial-0004", "trial-0000"]
    sort = opened.script(
        f"return document.querySelectorAll('table.sortable th')[{column}].ariaSort"
    )
    assert sort == "descending"
    first = next(place for place, head in enumerate(heads) if head.startswith("val %"))
    for _ in range(2):
        opened.click("table.sortable th button", first)
        assert set(opened.names()[-2:]) == {"trial-0003", "resnet20_cifar"}


@pytest.mark.slow
def test_words_pick_networks_in_all_charts(opened: Opened) -> None:
    def faint(chart: str) -> int:
        return opened.script(
            "return [...document.querySelectorAll(arguments[0] +"
            "' .mark-symbol.role-mark path')].filter(p => p.getAttribute('opacity') < 0.2).length",
            chart,
        )

    assert faint("#s1-pareto") == 0
    box = opened.page.driver.find_element("css selector", "input.words")
    box.send_keys("HOPELESS")
    opened.page.until("picked networks", lambda: faint("#s1-pareto") == 4)
    assert opened.names() == ["trial-0002"]
    opened.page.until("picked trials", lambda: faint("#s1-progress") == 3)
    opened.click("button.all")
    opened.page.until("all networks", lambda: faint("#s1-pareto") == 0)
    assert len(opened.names()) == 6


@pytest.mark.slow
def test_a_rectangle_picks_networks(opened: Opened) -> None:
    from selenium.webdriver import ActionChains

    chart, across, down = opened.bubble()
    drag = ActionChains(opened.page.driver, duration=60)
    drag.move_to_element_with_offset(chart, across - 40, down - 40).click_and_hold()
    drag.move_by_offset(40, 40).move_by_offset(40, 40).release().perform()
    opened.page.until("fewer networks", lambda: 0 < len(opened.names()) < 6)


@pytest.mark.slow
def test_a_bubble_says_what_it_is_and_opens(opened: Opened) -> None:
    from selenium.webdriver import ActionChains

    chart, across, down = opened.bubble()
    moved = ActionChains(opened.page.driver, duration=60)
    moved.move_to_element_with_offset(chart, across, down).perform()
    tip = "document.getElementById('vg-tooltip-element')?.innerText ?? ''"
    text = opened.page.until("tooltip", lambda: opened.script(f"return {tip}"))
    for wanted in ("network", "knobs", "FLOPs"):
        assert wanted in text
    moved.click().perform()
    dialog = "document.getElementById('network')"
    opened.page.until("network", lambda: opened.script(f"return {dialog}.open"))
    assert opened.script(f"return {dialog}.querySelector('h2').textContent") in text
    assert len(opened.names()) == 6  # a click picks nothing


@pytest.mark.slow
def test_a_network_opens_by_keyboard_and_closes(opened: Opened) -> None:
    from selenium.webdriver.common.keys import Keys

    button = opened.page.driver.find_elements("css selector", "button.network")[1]
    button.send_keys(Keys.ENTER)
    dialog = "document.getElementById('network')"
    text = opened.script(f"return {dialog}.open && {dialog}.innerText")
    for wanted in ("net trial-0000", "300,000", "cardinality", "stage2"):
        assert wanted in text
    opened.page.driver.switch_to.active_element.send_keys(Keys.ESCAPE)
    assert opened.script(f"return {dialog}.open") is False
    button.send_keys(Keys.ENTER)
    assert opened.script(f"return {dialog}.open") is True
    opened.page.driver.switch_to.active_element.send_keys(Keys.ENTER)  # Close has the focus
    assert opened.script(f"return {dialog}.open") is False


@pytest.mark.slow
def test_studies_stand_side_by_side(window: Opened, tmp_path: Path) -> None:
    made: list[Any] = [material(), material("study-two")]
    window.open(write_page(html(assemble(made), written=datetime.now()), tmp_path / "two.html"))
    assert window.script("return document.documentElement.dataset.drawn") == str(2 * 11 + 2)
    assert window.said() == []
    # A network picked in one study is not picked in another.
    box = window.page.driver.find_elements("css selector", "input.words")[1]
    box.send_keys("hopeless")
    window.page.until("fewer networks", lambda: len(window.names()) == 7)
