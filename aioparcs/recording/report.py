"""The report on a recording: one HTML page with all that it needs, below a megabyte whatever was recorded."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from importlib.resources import files
from typing import Any

from aioparcs.recording.history import History, LogLine, WorkerLife, history_of
from aioparcs.recording.reader import Recording
from aioparcs.recording.summary import Summary, summarize
from aioparcs.recording.timeline import make_series, make_timeline

__all__ = ["LARGEST", "render_report"]

LARGEST = 1_000_000
"""Bytes that a report may have."""
# Bytes of the parts of a report: the log in all, its last seconds before an error, texts of calls, one text.
_LOG, _LAST, _TEXTS, _TEXT = 150_000, 20_000, 120_000, 400
_LAST_SECONDS = 10.0  # of the log before an error
_ROWS = 100  # of a table
_SPARE = 2000  # bytes


def render_report(recording: Recording) -> str:
    """Return the page on a recording."""
    history = history_of(recording)
    data = _data(recording, history)
    rest = len(_page(data).encode()) + _SPARE
    timeline = make_timeline(history, max(50_000, LARGEST - rest - _TEXTS))
    texts, _ = _within(_TEXTS, [[_short(call), _short(error)] for call, error in timeline.texts])
    data["timeline"] = {**timeline._asdict(), "texts": texts}
    return _page(data)


def _page(data: dict[str, Any]) -> str:
    parts = files(__package__) / "page"
    page, css, script = ((parts / f"page.{kind}").read_text(encoding="utf-8") for kind in ("html", "css", "js"))
    # In a script element the only way out is "</script" or "<!--": no "<" is left.
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    text = text.encode("utf-8", "replace").decode()  # halves of characters can't be written
    return page.replace("/*CSS*/", css, 1).replace("/*SCRIPT*/", script, 1).replace("/*DATA*/", text, 1)


def _data(recording: Recording, history: History) -> dict[str, Any]:
    started, summary = recording.started, summarize(history)
    lost = [worker for worker in history.workers.values() if worker.how == "lost"]
    return {
        "program": _short(started.program),
        "date": started.date,
        "versions": {_short(name): _short(value) for name, value in list(started.versions.items())[:20]},
        "isWhole": history.is_whole,
        "skipped": recording.skipped,
        "error": history.error[:4000],
        "last": _last_lines(history) if history.error or not history.is_whole else [],
        "overview": _overview(summary),
        "series": make_series(history)._asdict(),
        "functions": _functions(summary),
        "nodes": _rows([[node.node or "this machine", *node[1:]] for node in summary.nodes]),
        "pools": _pools(history),
        "slowest": _slowest(history),
        "failed": _failed(history),
        "stragglers": _rows([list(one) for one in summary.stragglers]),
        "deaths": _rows([[one.ended, one.name, one.node, _short(one.reason)] for one in lost]),
        "notices": _rows([[one.time, one.origin, _short(one.text)] for one in history.log if one.is_notice]),
        "log": _log(history),
        "timeline": None,
    }


def _overview(summary: Summary) -> dict[str, Any]:
    names = ("duration", "workers", "lost", "peak", "items", "failed", "calls", "utilisation", "rate")
    return {name: getattr(summary, name) for name in names}


def _functions(summary: Summary) -> dict[str, Any]:
    total = sum(one.busy for one in summary.functions) or 1.0
    return _rows([
        [one.name, one.calls, one.failed, one.cancelled or None, one.busy, one.busy / total, one.mean, one.spread,
         one.longest]
        for one in summary.functions
    ])  # fmt: skip


def _pools(history: History) -> dict[str, Any]:
    rows = []
    for pool in history.pools.values():
        state, end = pool.state, history.duration if pool.ended is None else pool.ended
        took = end - pool.begun
        rate = state.done / took if took > 0 else 0.0
        counts = (state.done, state.total, state.failed, state.repeats, pool.peak)
        rows.append([_short(state.name), *counts, pool.begun, took, rate])
    return _rows(rows)


def _slowest(history: History) -> dict[str, Any]:
    spans = [(span, worker) for worker in history.workers.values() for span in worker.spans if span.call]
    spans.sort(key=lambda one: -one[0].busy)
    return _rows([[span.busy, span.function, _short(span.title), worker.name, worker.node, span.begin]
                  for span, worker in spans[:30]])  # fmt: skip


def _failed(history: History) -> dict[str, Any]:
    spans = [(span, worker) for worker in history.workers.values() for span in worker.spans if span.failed]
    spans.sort(key=lambda one: one[0].end)
    rows = [_failure(span.end, worker, span.function, span.call or f"{span.failed} calls", span.reason)
            for span, worker in spans]  # fmt: skip
    return _rows(rows)


def _failure(time: float, worker: WorkerLife, function: str, call: str, error: str) -> list[Any]:
    return [time, function, _short(call), _short(error), worker.name, worker.node]


def _rows(rows: Sequence[list[Any]]) -> dict[str, Any]:
    """Return the first rows of a table, and how many there are in all."""
    kept = [[round(value, 6) if isinstance(value, float) else value for value in row] for row in rows[:_ROWS]]
    return {"rows": kept, "count": len(rows)}


def _log(history: History) -> dict[str, Any]:
    """Return the first and the last lines of the log, and how many were left out between them."""
    lines = [_line(line) for line in history.log]
    first, cut = _within(_LOG // 2, lines)
    last, _ = _within(_LOG // 2, reversed(lines[len(first) :])) if cut else ([], False)
    return {"first": first, "last": last[::-1], "omitted": len(lines) - len(first) - len(last)}


def _last_lines(history: History) -> list[list[Any]]:
    """Return what was printed in the last seconds."""
    recent = [_line(line) for line in history.log if line.time >= history.duration - _LAST_SECONDS]
    return _within(_LAST, reversed(recent))[0][::-1]


def _line(line: LogLine) -> list[Any]:
    return [round(line.time, 3), _short(line.origin), line.text[:2000], int(line.is_notice) + int(line.is_warning)]


def _within(limit: int, values: Iterable[Any]) -> tuple[list[Any], bool]:
    """Return the first values that fit into some bytes of JSON, and whether some did not."""
    kept: list[Any] = []
    for value in values:
        limit -= len(json.dumps(value, ensure_ascii=False).replace("<", "\\u003c").encode("utf-8", "replace")) + 2
        if limit < 0:
            return kept, True
        kept.append(value)
    return kept, False


def _short(text: str) -> str:
    return text if len(text) <= _TEXT else f"{text[:_TEXT]}..."
