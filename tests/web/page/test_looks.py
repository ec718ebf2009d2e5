"""The looks of the page in Chromium: colours, a phone's width, and what axe finds."""

import hashlib
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.browser import Page
from tests.web.page.conftest import Show
from tests.web.page.job_data import JOB, job_row, snapshot
from tests.web.page.page_server import PageServer

pytestmark = [pytest.mark.one_loop, pytest.mark.slow]

VIEWS = ["#/jobs", f"#/job/{JOB}", f"#/job/{JOB}/worker/2", "#/cluster"]
TABS = ["workers", "tree", "modules", "functions", "nodes", "slowest", "failed"]
AXE, AXE_DIGEST = "axe-core@4.14.1", "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c"
BACKGROUND = "getComputedStyle(document.body).backgroundColor"
LIGHT, DARK = "rgb(245, 246, 247)", "rgb(17, 21, 24)"


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return axe-core, as npm has it."""
    folder = tmp_path_factory.mktemp("axe")
    if not shutil.which("npm"):
        pytest.skip("needs npm")
    done = subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", folder, AXE],
                          capture_output=True, text=True, timeout=100, check=False)  # fmt: skip
    if done.returncode:
        pytest.skip(f"npm has no {AXE}: {done.stderr[-300:]}")
    code = (Path(folder) / "node_modules/axe-core/axe.min.js").read_bytes()
    assert hashlib.sha256(code).hexdigest() == AXE_DIGEST
    return code.decode()


def violations(page: Page, axe: str, part: str = "html") -> Any:
    """Return what axe finds in a part of the page."""
    if not page.run("!!window.axe"):
        page.run(f"{axe}; true")
    return page.run(
        f"axe.run({part!r}, {{resultTypes: ['violations']}}).then(({{violations}}) => violations.map("
        "({id, help, nodes}) => [id, help, nodes.slice(0, 3).map((one) => one.html + one.failureSummary)]))"
    )


def prepare(server: PageServer) -> None:
    """Add jobs in each state, and actions."""
    server.jobs = [job_row(f"job-{state}", state=state, error="ValueError: x" * (state == "failed"))
                   for state in ("running", "done", "failed", "killed")]  # fmt: skip
    server.snapshots[JOB]["overview"] |= {"control": True}


@pytest.mark.parametrize("view", VIEWS)
def test_axe_finds_nothing(show: Show, server: PageServer, axe: str, view: str) -> None:
    prepare(server)
    page = show(view)
    for scheme, background in (("light", LIGHT), ("dark", DARK)):
        page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        page.until(f"{BACKGROUND} === '{background}'")
        for tab in TABS:
            if page.run(f"!!document.getElementById('tab-{tab}')"):
                page.run(f"document.getElementById('tab-{tab}').click()")
                page.until(f"!!document.getElementById('panel-{tab}')")
                assert violations(page, axe, "#parts") == [], (scheme, tab)
        assert violations(page, axe) == [], scheme
    if page.run("!!document.querySelector('button.danger')"):
        page.run("document.querySelector('button.danger').click()")
        assert violations(page, axe, "dialog[open]") == []


def test_axe_finds_nothing_on_a_phone_and_without_a_login(show: Show, server: PageServer, axe: str) -> None:
    prepare(server)
    page = show("#/jobs", width=360, height=740)
    assert violations(page, axe) == []
    server.cookie = "another"
    page.run("location.hash = '#/cluster'")
    page.until("document.body.innerText.includes('Open the address')")
    assert violations(page, axe) == []


@pytest.mark.parametrize("view", VIEWS)
def test_on_a_phone_nothing_is_wider_than_the_page(show: Show, server: PageServer, view: str) -> None:
    prepare(server)
    long = {"program": "a" * 90 + "/main.py", "error": f"ValueError: {'x' * 500}", "state": "failed"}
    server.jobs.append(job_row("long", **long))
    server.snapshots[JOB] = snapshot(overview=server.snapshots[JOB]["overview"] | long, spans=80)
    page = show(view, width=390, height=800)
    for width in (390, 320):
        page.resize(width, 800)
        for tab in TABS:
            page.run(f"document.getElementById('tab-{tab}')?.click()")
            assert page.run("document.documentElement.scrollWidth") <= width, tab
    small = "[...document.querySelectorAll('main button')].filter((one) => one.offsetHeight && one.offsetHeight < 24)"
    assert page.run(f"{small}.map((one) => one.innerText)") == [], "a finger finds them"


def test_dark_and_light_as_the_system_or_as_chosen(show: Show) -> None:
    page = show("#/jobs", dark=True)
    assert page.run(BACKGROUND) == DARK
    page = show(f"#/job/{JOB}")
    assert page.run(BACKGROUND) == LIGHT
    pixel = "[...document.getElementById('rows').getContext('2d').getImageData(60, 30, 1, 1).data].slice(0, 3)"
    light = page.run(pixel)
    for name, background in (("light", LIGHT), ("dark", DARK)):
        page.run("document.querySelector('.theme').click()")
        assert name in page.run("document.querySelector('.theme').getAttribute('aria-label')")
        assert page.run(BACKGROUND) == background
    page.until(f"{pixel}[0] !== {light[0]}")
    page.call("Page.reload")
    page.until(f"document.readyState === 'complete' && {BACKGROUND} === '{DARK}'")


def test_nothing_moves_for_those_who_want_that(show: Show) -> None:
    page = show(f"#/job/{JOB}")
    media = [{"name": "prefers-reduced-motion", "value": "reduce"}]
    page.call("Emulation.setEmulatedMedia", features=media)
    moving = "[...document.querySelectorAll('*')].flatMap((one) => one.getAnimations({subtree: true})).length"
    assert page.run(moving) == 0
    page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-reduced-motion", "value": "no-preference"}])
    assert page.run(moving) > 0
