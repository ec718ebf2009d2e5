"""A browser for all tests of a file, and a server with a job for each test."""

from collections.abc import Callable, Iterator

import pytest

from tests.support.browser import Browser, Page, chromium
from tests.web.page.job_data import JOB, cluster, job_row, snapshot, worker_page
from tests.web.page.page_server import PageServer

Show = Callable[..., Page]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("chromium")) as running:
        yield running


@pytest.fixture
def server() -> Iterator[PageServer]:
    with PageServer() as running:
        message = snapshot()
        running.jobs = [job_row()]
        running.snapshots[JOB] = message
        running.answers["cluster"] = cluster()
        running.answers[f"jobs/{JOB}/workers/2"] = worker_page(2, message)
        yield running


@pytest.fixture
def show(browser: Browser, server: PageServer) -> Iterator[Show]:
    """Open a view with a login, check that nothing goes wrong, and close it at the end."""
    pages: list[Page] = []

    def show(view: str = "#/jobs", *, width: int = 1280, height: int = 900, dark: bool = False) -> Page:
        page = browser.open(server.login, width=width, height=height, dark=dark)
        pages.append(page)
        page.until("location.hash === '#/jobs'")
        if view != "#/jobs":
            page.run(f"delete document.documentElement.dataset.ready; location.hash = {view!r}")
            page.until("document.documentElement.dataset.ready")
        return page

    yield show
    for page in pages:
        assert page.run("window.hacked") is None
        page.close()
