"""optuna-dashboard, the MLflow UI and the report page in a browser, as a user sees a study.

Screenshots are written to the folder HPTOOLKIT_SCREENSHOTS, or beside the study.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.test_study_command import environment, outcome, run

pytestmark = pytest.mark.slow

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
# MLflow's page asks who is logged in, which a server without users does not know, and its charts
# watch their own size.
EXPECTED = ("mlflow/users/current", "ResizeObserver loop", "favicon")
T = TypeVar("T")


@dataclass(frozen=True)
class Site:
    """A study, and where it is shown."""

    folder: Path
    best: dict[str, Any]
    dashboard: str
    mlflow: str


class Page:
    """A browser that waits for what it looks for."""

    def __init__(self, profile: Path, screenshots: Path) -> None:
        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service

        options = webdriver.ChromeOptions()
        for argument in (
            "headless=new", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run",
            "disable-background-networking", "disable-component-update", "disable-sync",
            "window-size=1700,1200", f"user-data-dir={profile}",
        ):  # fmt: skip
            options.add_argument(f"--{argument}")
        options.binary_location = str(CHROMIUM)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Service(DRIVER))
        self._screenshots = screenshots

    def open(self, address: str) -> None:
        self.driver.get("about:blank")  # a change behind the # alone would load nothing
        self.driver.get(address)

    def all(self, selector: str) -> list[Any]:
        return list(self.driver.find_elements("css selector", selector))

    def click(self, selector: str, text: str = "") -> None:
        def element() -> Any:
            return next(e for e in self.all(selector) if text in e.text and e.is_enabled())

        self.wait(element, f"{selector} {text}".strip()).click()

    def wait(self, look: Callable[[], T], what: str, seconds: float = 60) -> T:
        """What `look` finds, once it finds something and raises nothing."""
        from selenium.common.exceptions import WebDriverException

        deadline = time.monotonic() + seconds
        while True:
            try:
                if found := look():
                    return found
            except (WebDriverException, StopIteration, IndexError):
                pass
            if time.monotonic() > deadline:
                self.shoot("failed")
                pytest.fail(f"no {what} at {self.driver.current_url} within {seconds:g} s")
            time.sleep(0.2)

    def wait_for_text(self, text: str) -> None:
        self.wait(lambda: text in self.driver.find_element("css selector", "body").text, text)

    def shoot(self, name: str, height: int | None = None) -> None:
        """A screenshot of the window, made so high for it."""
        if height is not None:
            self.driver.set_window_size(1700, height)
            time.sleep(1)
        self._screenshots.mkdir(parents=True, exist_ok=True)
        self.driver.save_screenshot(str(self._screenshots / f"{name}.png"))
        if height is not None:
            self.driver.set_window_size(1700, 1200)

    def errors(self) -> list[str]:
        """What the page has written to the console as an error since it was last asked."""
        messages = [
            entry["message"]
            for entry in self.driver.get_log("browser")
            if entry["level"] == "SEVERE"
        ]
        return [m for m in messages if not any(known in m for known in EXPECTED)]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A real study of ten short trainings, and the two servers, which start side by side."""
    if CHROMIUM is None or DRIVER is None:
        pytest.skip("chromium and chromedriver are not installed")
    pytest.importorskip("selenium")
    folder = tmp_path_factory.mktemp("site")
    small = [
        "digits", "--start", "page", "--set", "training.epochs=3", "--set", "model.width=4",
        "--trials", "10",
    ]  # fmt: skip
    best = outcome(run(folder, *small))["best"]
    with ExitStack() as servers:
        addresses = [
            servers.enter_context(started(folder, *command))
            for command in (
                ("optuna-dashboard", "studies/studies.log"),
                ("mlflow", "ui", "--backend-store-uri", "sqlite:///mlruns/mlflow.db",
                 "--workers", "1"),
            )
        ]  # fmt: skip
        for address in addresses:
            wait_for_server(address)
        yield Site(folder, best, *addresses)


@pytest.fixture(scope="module")
def page(site: Site) -> Iterator[Page]:
    screenshots = Path(os.environ.get("HPTOOLKIT_SCREENSHOTS") or site.folder / "screenshots")
    browser = Page(site.folder / "profile", screenshots)
    yield browser
    browser.driver.quit()


@contextmanager
def started(folder: Path, program: str, *arguments: str) -> Iterator[str]:
    """A server on a free port of this machine; ended with its workers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    beside = str(Path(sys.executable).with_name(program))
    server = subprocess.Popen(
        [beside, *arguments, "--host", "127.0.0.1", "--port", port],
        cwd=folder, env={**environment(), "MLFLOW_DISABLE_TELEMETRY": "true"},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(server.pid, 9)
        server.wait(timeout=30)


def wait_for_server(address: str) -> None:
    deadline = time.monotonic() + 120
    while True:
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except OSError:
            assert time.monotonic() < deadline, f"{address} does not answer"
            time.sleep(0.3)


def test_the_dashboard_shows_the_study_s_figures_and_note(site: Site, page: Page) -> None:
    page.open(f"{site.dashboard}/dashboard/studies/0")

    def titles() -> list[str]:
        plots = page.all("[id^='user-defined-plot:'] .gtitle")
        return sorted(plot.get_attribute("textContent") for plot in plots)

    shown = page.wait(lambda: len(titles()) >= 6 and titles(), "figures of hptoolkit")
    # In any order, since the dashboard keeps them in a set: hence the numbers.
    numbers = {int(title.partition(".")[0]) for title in shown}
    assert numbers == set(range(1, len(numbers) + 1))
    assert "1. The path of the search" in shown
    for plot in page.all("[id^='user-defined-plot:']"):
        assert plot.find_elements("css selector", ".trace, .traces, .points"), "an empty figure"
    page.shoot("dashboard", height=3900)

    page.open(f"{site.dashboard}/dashboard/studies/0/note")
    page.wait_for_text("What was found")
    page.wait_for_text("Best: λ = ")
    page.shoot("dashboard-note")

    page.open(f"{site.dashboard}/dashboard/studies/0/trials")
    page.wait_for_text("weight_decay")
    page.wait_for_text("coordinates")
    assert page.errors() == []


def test_mlflow_lists_the_trials_and_compares_two(site: Site, page: Page) -> None:
    page.open(f"{site.mlflow}/#/experiments/1/runs?workflowType=machine_learning")
    page.click("[data-component-id='mlflow.assistant.chat_panel.close']")
    page.click("[data-testid='saved-views-trigger']")
    page.click("[role='menuitem']", "digits-coord: trials, best first")

    def cells(column: str) -> list[float]:
        rows = sorted(
            page.all(f".ag-row:has([col-id='{column}'])"),
            key=lambda row: int(row.get_attribute("row-index")),
        )
        found = [row.find_element("css selector", f"[col-id='{column}']").text for row in rows]
        return [float(text) for text in found if text]

    def values_in_order() -> list[float] | bool:
        values = cells("metrics.`objective`")
        return len(values) == 10 and values == sorted(values, reverse=True) and values

    # The table is drawn first and sorted then.
    values = page.wait(values_in_order, "the trials' values, best first")
    assert values[0] == pytest.approx(site.best["value"], abs=1e-6)
    assert cells("params.`lr`")[0] == pytest.approx(site.best["params"]["lr"])
    page.shoot("mlflow-trials")

    for row in (0, 1):
        page.click(f".ag-pinned-left-cols-container [row-index='{row}'] input[type='checkbox']")
    page.click("[data-testid='runs-compare-button']")
    page.wait_for_text("Comparing 2 Runs")
    page.wait_for_text("weight_decay")
    # What the study judges is what the plots open on.
    judged = "Objective validation_accuracy"
    page.wait(lambda: judged in [e.text for e in page.all(".axis-title")], "the runs drawn")
    page.shoot("mlflow-compare")
    page.click("[role='tab']", "Scatter Plot")
    axis = page.wait(lambda: page.all("#y-axis-selector")[0], "the scatter plot")
    assert axis.get_attribute("value") == f"metric-{judged}"
    page.shoot("mlflow-scatter")
    assert page.errors() == []


def test_mlflow_shows_report_and_curves(site: Site, page: Page) -> None:
    import sqlite3

    with sqlite3.connect(site.folder / "mlruns" / "mlflow.db") as database:
        found = dict(database.execute("select name, run_uuid from runs"))
    runs = f"{site.mlflow}/#/experiments/1/runs"
    page.open(f"{runs}/{found['digits-coord']}")
    page.wait_for_text("What was found")  # the description
    page.wait_for_text("best_model")
    page.shoot("mlflow-study")
    page.open(f"{runs}/{found['digits-coord']}/artifacts/report.html")
    frame = page.wait(lambda: page.all("iframe")[0], "the report")
    page.driver.switch_to.frame(frame)
    page.wait(lambda: len(page.all(".js-plotly-plot .main-svg")) >= 7, "figures in the report")
    page.driver.switch_to.default_content()
    page.driver.set_window_size(1700, 2400)  # what is below the window's end is not drawn
    page.open(f"{runs}/{found['trial 0']}/model-metrics")
    page.wait_for_text("schedule")
    page.wait_for_text("effective_step")
    page.wait(lambda: len(page.all(".js-plotly-plot .main-svg")) >= 3, "charts")
    page.shoot("mlflow-curves")
    page.driver.set_window_size(1700, 1200)
    assert page.errors() == []


def test_the_report_opens_from_the_disk_without_a_network(site: Site, page: Page) -> None:
    (report,) = (site.folder / "mlruns").rglob("report.html")
    page.open(report.as_uri())
    plots = page.wait(lambda: page.all(".js-plotly-plot"), "figures")
    page.wait(lambda: len(page.all(".js-plotly-plot > .plot-container")) == len(plots), "drawings")
    assert len(plots) >= 6  # ten runs along axes are no slice
    captions = [caption.text for caption in page.all("figcaption")]
    assert len(captions) == len(plots)
    assert all(captions)
    assert "digits-coord" in page.driver.title
    page.shoot("report", height=2400)
    assert page.errors() == []
