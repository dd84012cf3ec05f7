"""MLflow's UI in a browser without a screen: what the tests look at, and `make screenshots` takes pictures of."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from places import ROOT
from playwright.sync_api import Page, sync_playwright
from servers import LEAN, free_port, started

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
#: What MLflow's own pages do wrong: who the user is is asked of a server that knows no users.
THEIR_OWN = ("/mlflow/users/current", "ResizeObserver loop")
#: Keep the panel of MLflow's assistant shut, which covers a third of the first page.
NO_ASSISTANT = (
    "localStorage['mlflow.assistant.fab.autoOpenedOnFirstLoad_v1'] = 'true';"
    "localStorage['mlflow.assistant.panelOpen_v1'] = 'false'"
)
#: The lines of a chart.
LINES = ".scatterlayer .trace .js-line"
PAGE_MILLISECONDS, REST_MILLISECONDS = 30_000, 1_000


def run_plainly(arguments: Sequence[str], *, cwd: Path, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """What `python arguments` comes to in a folder."""
    return subprocess.run([sys.executable, *arguments], cwd=cwd, env=env, capture_output=True, text=True, check=False)


def compare(folder: Path, configs: dict[str, dict[str, Any]], run: Callable[..., Any] = run_plainly) -> str:
    """Train and test configs by `iqa compare` in a folder, with a store of its own, and return what it said."""
    for name, config in configs.items():
        (folder / f"{name}.json").write_text(json.dumps(config | {"experiment_name": name}))
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
    files = [f"{name}.json" for name in configs]
    done = run(["-m", "iqa", "compare", "--configs", *files], cwd=folder, env=environment | {"PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of MLflow's UI over the store in a folder."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
    with started(
        [sys.executable, "-m", "mlflow", "ui", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"],
        f"{address}/health",
        cwd=folder,
        env=environment | LEAN,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ):
        yield address


class Visit:
    """One visit to the UI by somebody who was never there.

    Attributes:
        faults: requests that failed and errors in the console, but for MLflow's own.
    """

    def __init__(self, page: Page) -> None:
        self.page = page
        self.faults: list[str] = []
        page.set_default_timeout(PAGE_MILLISECONDS)
        page.add_init_script(NO_ASSISTANT)
        page.on("console", lambda line: self._note(f"{line.text} {line.location['url']}", line.type == "error"))
        page.on("pageerror", lambda error: self._note(str(error), True))
        page.on("response", lambda answer: self._note(f"{answer.status} {answer.url}", answer.status >= 400))
        # What a page no longer needs, it aborts.
        page.on(
            "requestfailed", lambda sent: self._note(f"{sent.failure} {sent.url}", "ABORTED" not in str(sent.failure))
        )

    def _note(self, told: str, wrong: bool) -> None:
        if wrong and not any(each in told for each in THEIR_OWN):
            self.faults.append(told)

    def table(self, link: str) -> list[dict[str, str]]:
        """Open the view, and return what its rows say, by column."""
        self.page.goto(link)
        self.page.locator(".ag-center-cols-container [role=row]").first.wait_for()
        self.settle()
        return self.page.evaluate(
            """() => [...document.querySelectorAll('.ag-center-cols-container [role=row]')].map(row =>
                Object.fromEntries([...document.querySelectorAll(`[row-id="${row.getAttribute('row-id')}"] [col-id]`)]
                    .map(cell => [cell.getAttribute('col-id'), cell.innerText])))"""
        )

    def charts(self) -> None:
        """Turn from the view's table to its charts."""
        self.page.locator("label:has(input[value=CHART])").click()
        # Not "visible": a line that is level has no height.
        self.page.locator(LINES).first.wait_for(state="attached")
        self.settle()

    def curves(self) -> list[int]:
        """How many runs the charts of a page draw curves of, from chart to chart."""
        # Runs are told by their ids: two of them may have one colour, and each has a line for what is smoothed.
        count = "chart => new Set(chart.data.filter(trace => trace.x?.length).map(trace => trace.uuid)).size"
        return [chart.evaluate(count) for chart in self.page.locator(f".js-plotly-plot:has({LINES})").all()]

    def compared(self, figure: str) -> None:
        """Choose all runs of the view's table, and from *Compare* on to the curves of a figure."""
        self.page.locator("label:has(input[value=TABLE])").click()
        self.page.locator(".ag-header-cell input[type=checkbox]").first.click()
        self.page.get_by_role("button", name="Compare", exact=True).click()
        self.page.get_by_role("link", name=figure, exact=True).click()
        # Not "visible": a line that is level has no height.
        self.page.locator(LINES).first.wait_for(state="attached")
        self.settle()

    def run(self, name: str) -> None:
        """From the view's table to a run, its description unfolded."""
        self.page.get_by_role("link", name=name, exact=True).first.click()
        self.unfold()

    def unfold(self) -> None:
        """Show the whole of a description."""
        self.page.get_by_text("Show more").first.click()
        self.settle()

    def sections(self) -> list[str]:
        """The headings of a page of charts, from top to bottom."""
        self.page.get_by_text("Add section").wait_for()
        return re.findall(r"^(.+)\n\(\d+\)$", self.page.locator("body").inner_text(), flags=re.MULTILINE)

    def pictures(self, name: str) -> int:
        """How many pictures of a name loaded, in a chart of it or in a description."""
        chart, found = self.page.get_by_text(name, exact=True), self.page.locator(f'img[src*="{name}"]')
        if chart.count():  # it is drawn once it can be seen
            chart.first.evaluate("title => title.scrollIntoView({block: 'center'})")
        found.first.wait_for()
        self.settle()
        return sum(picture.evaluate("image => image.naturalWidth > 0") for picture in found.all())

    def settle(self) -> None:
        """Let the page come to rest; its network never does, because it asks for news all the time."""
        self.page.wait_for_timeout(REST_MILLISECONDS)


@contextmanager
def visited(width: int = 1760, height: int = 1000) -> Iterator[Visit]:
    """A browser whose window has so many pixels."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            yield Visit(browser.new_page(viewport={"width": width, "height": height}))
        finally:
            browser.close()
