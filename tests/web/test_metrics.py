"""The metrics of jobs: what Prometheus reads of them, its conventions, and the dashboard that draws them."""

import fcntl
import json
import re
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import IO, Any

import aiohttp
import pytest
from aiohttp import web
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from aioparcs.events import (
    CallSpan,
    CallSpans,
    CallsRunning,
    ChannelSample,
    ChannelSamples,
    Event,
    PoolProgress,
    PoolState,
    ProgramEnding,
    ProgramStarted,
    RunningCall,
    Use,
    WorkerConnected,
    WorkerExited,
    WorkersRequested,
    WorkerStopped,
    WorkerUsage,
)
from aioparcs.events.codec import to_json
from aioparcs.settings import VERSION
from aioparcs.web import totals
from aioparcs.web.metrics import Metrics
from aioparcs.web.totals import COUNTERS, GAUGES, Totals

pytestmark = pytest.mark.one_loop
DOCS = Path(__file__).parents[2] / "docs"
NAMES = [*(f"{family.name}_total" for family in COUNTERS), *(family.name for family in GAUGES), "aioparcs_build_info"]


class Job:
    """A history that is written, as the program that runs does."""

    def __init__(self, file: IO[bytes], program: str, engine: str) -> None:
        self._file = file
        self.add(ProgramStarted(0.0, 1.7e9, program, {"engine": engine}))

    def add(self, *events: Event) -> None:
        self._file.write("".join(f"{to_json(event)}\n" for event in events).encode())

    def run(self) -> None:
        """Begin two workers, and a pool of ten items of which one has failed."""
        state = PoolState(0, "render", 4, 1, 10, 2, 2, 2)
        draw = CallSpan(0, "draw", 0.5, 1.0, 0.5, 3, 0, "", "")
        self.add(
            WorkersRequested(0.1, "render", range(4)),
            *(WorkerConnected(0.2, "render", worker) for worker in range(3)),
            PoolProgress(1.0, state),
            CallSpans(1.0, 0, (draw, draw._replace(worker=1, end=0.75, busy=0.25, calls=1, failed=1, error="no"))),
            CallsRunning(1.5, 0, (RunningCall(0, "draw", "item 5", 0.5),)),
            ChannelSamples(1.5, (ChannelSample(0, 5, 6, 500, 600, 70), ChannelSample(1, 1, 1, 10, 10, 0))),
            WorkerUsage(1.5, (Use(0, 0.75, 1000), Use(1, 0.25, 500))),
            WorkerExited(2.0, "render", 1, "was killed"),
            WorkerStopped(2.0, "render", 2),
        )


@contextmanager
def running(folder: Path, name: str, program: str = "render/main.py", engine: str = "local") -> Iterator[Job]:
    """Write the history of a program that runs until the block ends."""
    with (folder / f"{name}.jsonl").open("ab", buffering=0) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield Job(file, program, engine)


@contextmanager
def totals_of(folder: Path) -> Iterator[Totals]:
    made = Totals(folder)
    try:
        yield made
    finally:
        made.close()


@asynccontextmanager
async def served(folder: Path) -> AsyncIterator[str]:
    """Serve metrics; provide their address."""
    metrics, app = Metrics(folder), web.Application()
    app.add_routes([web.get("/metrics", metrics.answer)])
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/metrics"
    finally:
        await runner.cleanup()
        await metrics.close()


async def read(address: str, **headers: str) -> tuple[str, str]:
    """Return the type and the text of an answer."""
    async with aiohttp.ClientSession() as session, session.get(address, headers=headers) as answer:
        assert answer.status == 200
        return answer.headers["Content-Type"], await answer.text()


def numbers(text: str) -> dict[tuple[str, ...], float]:
    """Return the numbers of a text by the metric's name and the values of its labels, program and engine first."""
    found = {}
    for sample in (sample for family in parse(text) for sample in family.samples):
        labels = dict(sample.labels)
        own = [labels.pop(name) for name in ("program", "engine") if name in labels]
        found[sample.name, *own, *labels.values()] = sample.value
    return found


async def test_a_running_job_is_in_all_metrics(tmp_path: Path) -> None:
    with running(tmp_path, "render-1") as job:
        job.run()
        async with served(tmp_path) as address:
            kind, text = await read(address)
    assert kind.startswith("text/plain; version=0.0.4")
    found, own = numbers(text), ("render/main.py", "local")
    expected = {
        ("jobs",): 1, ("workers", "starting"): 1, ("workers", "calling"): 1, ("workers", "waiting"): 0,
        ("items_running",): 2, ("items_waiting",): 4, ("worker_cpu_cores",): 0.75, ("worker_memory_bytes",): 1000,
        ("channel_queued_bytes",): 70, ("calls_total", "done"): 3, ("calls_total", "failed"): 1,
        ("call_seconds_total",): 0.75, ("items_total", "done"): 3, ("items_total", "failed"): 1,
        ("workers_requested_total",): 4, ("workers_ended_total", "lost"): 1, ("workers_ended_total", "stopped"): 1,
        ("workers_ended_total", "done"): 0, ("channel_frames_total", "sent"): 6,
        ("channel_bytes_total", "received"): 610,
        ("jobs_ended_total", "done"): 0, ("jobs_ended_total", "killed"): 0,
    }  # fmt: skip
    assert {(name, *rest): found[f"aioparcs_{name}", *own, *rest] for name, *rest in expected} == expected
    assert found["aioparcs_longest_call_seconds", *own] > 1.0
    assert found["aioparcs_build_info", VERSION] == 1
    assert {name for name, *_ in found} == set(NAMES)


async def test_openmetrics_is_written_for_those_who_ask_for_it(tmp_path: Path) -> None:
    with running(tmp_path, "render-1") as job:
        job.run()
        async with served(tmp_path) as address:
            kind, text = await read(address, Accept="application/openmetrics-text; version=1.0.0")
    assert kind.startswith("application/openmetrics-text")
    families = parse_openmetrics(text)  # type: ignore[no-untyped-call]  # it has no types
    assert {family.name for family in families} >= {family.name for family in (*COUNTERS, *GAUGES)}


def test_counters_never_fall_when_jobs_end_and_are_removed_and_jobs_of_a_program_are_one(tmp_path: Path) -> None:
    with totals_of(tmp_path) as made:
        made.poll()
        with running(tmp_path, "render-1") as one:
            one.run()
            made.poll()
            before = dict(made.counters)
            with running(tmp_path, "render-2") as other:
                other.run()
                other.add(ProgramEnding(3.0, ""))
            made.poll()
            one.add(ProgramEnding(3.0, "ValueError: no"))
        made.poll()
        for path in tmp_path.iterdir():
            path.unlink()
        made.poll()
        assert all(made.counters[key] >= number for key, number in before.items())
        found = {(key.name.removeprefix("aioparcs_"), key.value): number for key, number in made.counters.items()}
        assert {key.program for key in made.counters} == {"render/main.py"}
        assert (found["calls", "done"], found["items", "failed"]) == (6, 2)
        assert [found["jobs_ended", result] for result in ("done", "failed", "killed")] == [1, 1, 0]
        assert all(number == 0 for number in made.gauges.values())


def test_jobs_that_had_ended_before_are_not_counted_and_killed_ones_are(tmp_path: Path) -> None:
    with running(tmp_path, "render-0") as job:
        job.run()
    with totals_of(tmp_path) as made:
        made.poll()
        assert not made.counters
        with running(tmp_path, "render-1") as job:
            job.run()
        made.poll()
        made.poll()
        assert {key.value: number for key, number in made.counters.items() if key.name == "aioparcs_jobs_ended"} == {
            "done": 0, "failed": 0, "stopped": 0, "killed": 1
        }  # fmt: skip


@pytest.mark.slow
def test_what_workers_have_carried_is_counted_also_when_there_are_too_many_for_rows(tmp_path: Path) -> None:
    with totals_of(tmp_path) as made, running(tmp_path, "render-1") as job:
        for first in range(0, 9000, 500):
            for worker in range(first, first + 500):
                job.add(
                    WorkersRequested(0.1, "render", range(worker, worker + 1)),
                    ChannelSamples(0.2, (ChannelSample(worker, 1, 2, 10, 20, 0),)),
                    WorkerExited(0.3, "render", worker, None),
                )
            made.poll()
        found = {(key.name, key.value): number for key, number in made.counters.items()}
    assert found["aioparcs_workers_ended", "done"] == 9000
    assert [found["aioparcs_channel_frames", way] for way in ("sent", "received")] == [9000, 18000]
    assert [found["aioparcs_channel_bytes", way] for way in ("sent", "received")] == [90_000, 180_000]


def test_labels_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(totals, "_PROGRAMS", 2)
    with totals_of(tmp_path) as made:
        for number in range(5):
            with running(tmp_path, f"render-{number}", f"program{number}", "swarm" if number % 2 else "x" * 99) as job:
                job.run()
                made.poll()
        assert {(key.program, key.engine) for key in made.counters} == {
            ("program0", "x" * 99), ("program1", "swarm"), ("other", "other"), ("other", "swarm")
        }  # fmt: skip


async def test_without_its_package_the_answer_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client.exposition", None)
    async with served(tmp_path) as address, aiohttp.ClientSession() as session, session.get(address) as answer:
        assert answer.status == 501
        assert "aioparcs[metrics]" in await answer.text()


@pytest.mark.parametrize("name", NAMES)
def test_names_follow_the_conventions(name: str) -> None:
    assert re.fullmatch(r"aioparcs_[a-z]+(_[a-z]+)*", name)
    assert not re.search(r"milli|micro|_ms|_kb|_mb|percent|ratio_percent", name)


def test_the_page_has_a_row_for_each_metric() -> None:
    rows = re.findall(r"^\| `(aioparcs_\w+)(?:\{(\w+)\})?` \| (.+) \|$", (DOCS / "metrics.md").read_text(), re.M)
    labels = {**{f"{one.name}_total": one.label for one in COUNTERS}, **{one.name: one.label for one in GAUGES}}
    assert {name: label for name, label, _ in rows} == {**labels, "aioparcs_build_info": "version"}


def test_each_metric_of_the_dashboard_exists() -> None:
    board: dict[str, Any] = json.loads((DOCS / "grafana.json").read_text())
    targets = [target for panel in board["panels"] for target in panel.get("targets", [])]
    used = {name for target in targets for name in re.findall(r"\baioparcs_\w+", target["expr"])}
    variables = {name for one in board["templating"]["list"] for name in re.findall(r"\baioparcs_\w+", str(one))}
    assert used | variables <= set(NAMES)
    assert len(used) >= 12
    assert all(panel["title"] for panel in board["panels"])


BUILT_IN = {"__range", "__rate_interval"}  # variables that Grafana itself has
LABELS = {f"{family.name}_total": family for family in COUNTERS} | {family.name: family for family in GAUGES}
_SELECTOR = re.compile(r"(aioparcs_\w+)(?:\{([^}]*)\})?(?:\[([^\]]*)\])?")
_MATCHER = re.compile(r'(\w+)(=~|!~|!=|=)"([^"]*)"')


def expressions(board: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the expressions of a dashboard, each with its legend."""
    targets = [target for panel in board["panels"] for target in panel.get("targets", [])]
    return [(target["expr"], target.get("legendFormat", "")) for target in targets]


def labels_of(name: str) -> set[str]:
    return {"program", "engine"} | ({LABELS[name].label} - {""})


def test_each_label_of_the_dashboard_exists() -> None:
    board: dict[str, Any] = json.loads((DOCS / "grafana.json").read_text())
    variables = {one["name"] for one in board["templating"]["list"]} | BUILT_IN
    for expression, legend in expressions(board):
        assert set(re.findall(r"\$\{?(\w+)", expression)) <= variables, expression
        selectors = _SELECTOR.findall(expression)
        assert selectors, expression
        by = {label for part in re.findall(r"\bby \(([^)]*)\)", expression) for label in re.findall(r"\w+", part)}
        for name, matchers, span in selectors:
            found = _MATCHER.findall(matchers)
            assert ",".join(f'{label}{how}"{value}"' for label, how, value in found) == matchers, expression
            assert {label for label, _, _ in found} | by <= labels_of(name), expression
            family = LABELS[name]
            values = {part for label, _, text in found if label == family.label for part in text.split("|")}
            assert values <= set(family.values), expression
            is_rated = re.search(rf"\b(?:rate|increase)\({name}\b", expression) is not None
            assert is_rated == bool(span) == name.endswith("_total"), expression
        assert set(re.findall(r"\{\{(\w+)\}\}", legend)) <= by, expression
    for name, label in re.findall(r"label_values\((\w+), (\w+)\)", json.dumps(board)):
        assert label in labels_of(name)


def test_expressions_of_the_dashboard_are_of_known_functions_in_pairs_of_brackets() -> None:
    board: dict[str, Any] = json.loads((DOCS / "grafana.json").read_text())
    for expression, _ in expressions(board):
        rest = _SELECTOR.sub("METRIC", expression)
        while (
            shorter := re.sub(r"(?:sum(?: by \(\w+(?:, \w+)*\) ?)?|max|rate|increase)\(METRIC\)", "METRIC", rest)
        ) != rest:
            rest = shorter
        assert re.fullmatch(r"METRIC(?: / METRIC)?", rest), expression
