"""The page of jobs with a job on the Swarm, in Chromium."""

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from aioparcs.recording.store import histories
from tests.support.browser import Browser, Page, chromium
from tests.support.command import COMMAND, ENVIRONMENT, execute
from tests.support.live import PATIENCE, Cluster
from tests.support.submitted import containers
from tests.web.page.live import HANGING, PROGRAM, ui
from tests.web.page.test_timeline import PIXELS
from tests.web.page.test_views import until_text

pytestmark = [pytest.mark.one_loop, pytest.mark.slow]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("chromium")) as running:
        yield running


def check_stacks(page: Page, folder: Path, **variables: str) -> None:
    """Check that the stack of the call that hangs is shown, by the page and by commands here and elsewhere."""
    (path,) = histories()
    with path.open() as file:
        name = json.loads(file.readline())["versions"]["job"]
    until_text(page, f"waits for item {HANGING}", "#now")
    shown, deadline = "", time.monotonic() + PATIENCE
    while "in work" not in shown and time.monotonic() < deadline:  # from four seconds on, and the log is followed
        shown = execute([*COMMAND, "explain"], None, XDG_STATE_HOME=str(folder / "state"), **variables).stdout
    assert "in work" in shown
    assert "ago, as the log of its runner has it:" in shown
    elsewhere = execute([*COMMAND, "explain", name], None, XDG_STATE_HOME=str(folder / "none"), **variables).stdout
    assert f"waits for item {HANGING}: ({HANGING}) in worker " in elsewhere
    assert "in work" in elsewhere
    worker = int(elsewhere.partition(") in worker ")[2].split()[0])
    page.run(f"location.hash += '/worker/{worker}'")
    page.until("document.getElementById('fetch-stack')?.disabled === false")
    page.run("document.getElementById('fetch-stack').click()")
    until_text(page, "in work", ".stack")


def test_a_job_on_the_swarm_is_seen_with_its_nodes_until_it_is_stopped(
    cluster: Cluster, browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "squares").mkdir()
    (tmp_path / "squares/main.py").write_text(PROGRAM)
    variables = cluster.environment | {"XDG_STATE_HOME": str(tmp_path / "state"), "PARCS_UI": "1"}
    command = [*COMMAND, "run", "squares", "--on", "swarm", "-e", "GATE=/never"]
    with ui(**cluster.environment) as server:
        with subprocess.Popen(
            command, cwd=tmp_path, env=ENVIRONMENT | variables, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        ) as running:  # fmt: skip
            try:
                page = browser.open(server.address)
                page.until("!!document.querySelector('tr.job a')", 120)  # the image is built and pushed first
                page.run("document.querySelector('tr.job a').click()")
                until_text(page, "on the Swarm", ".meta")
                page.until("document.getElementById('now')?.innerText.includes('99 of 100 items are done')", 120)
                page.run("document.getElementById('tab-nodes').click()")
                until_text(page, "node", "#panel-nodes")
                assert len(page.run(PIXELS)) > 5
                check_stacks(page, tmp_path, **cluster.environment)
                page.run("location.hash = '#/cluster'")
                until_text(page, "3 nodes are ready")
                until_text(page, "running", "#nodes")
                (path,) = histories()
                with path.open() as file:
                    name = json.loads(file.readline())["versions"]["job"]
                (runner,) = containers(cluster, name, "runner")
                cluster.docker("kill", "--signal", "TERM", runner.id, node=runner.node)
                assert running.wait(60) == 143
            finally:
                running.terminate()
                running.wait(60)
        page.run("location.hash = '#/jobs'")
        until_text(page, "stopped", "tr.job .state")
        assert page.problems(server.origin) == []
        page.close()
