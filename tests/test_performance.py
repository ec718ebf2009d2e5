"""The page of performance: the file of its results, its pictures, its figures, and what has moved since."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks.harness import ROOT
from benchmarks.performance import page, parts, records
from benchmarks.performance.ratios import compare
from benchmarks.performance.records import Figure, Part, Parts, Point, SchemaError, Summary
from benchmarks.performance.sweep import Series, Sweep, Taken, sweep
from benchmarks.results import Measured, at_least, at_most

MACHINE = {"cores": 2, "processor": "one", "system": "Linux", "python": "CPython", "load_before": 0.5}


def _figure(values: list[float], more: bool = True) -> Figure:
    return Figure.of(Measured("key", "what", values, "", at_least(1) if more else at_most(1)))


def test_results_are_read_as_they_were_written(tmp_path: Path) -> None:
    points = [
        Point("items", "ours", 1000, Summary.of([3, 1, 2])),
        Point("items", "ours", 10_000, None, "would take 7 s"),
    ]
    part = Part("2026-01-01", {"cores": 2}, {"ray": "2"}, points, [_figure([1, 2, 3, 4, 5, 6])], ["ray: not here"])
    found = {"items": part, "sizes": Part("2026-01-02", {}, {})}
    records.save(tmp_path / "2026-01-02.json", found)
    records.save(tmp_path / "2025-12-31.json", {})
    assert records.newest(tmp_path) == tmp_path / "2026-01-02.json"
    assert records.load(tmp_path / "2026-01-02.json") == found
    (tmp_path / "2026-01-03.json").write_text(json.dumps({"schema": 0}))
    with pytest.raises(SchemaError, match=r"2026-01-03\.json has schema 0, not 1"):
        records.load(tmp_path / "2026-01-03.json")


def test_a_ratio_has_moved_if_the_intervals_have_nothing_in_common() -> None:
    low, high = [1, 2, 3, 4, 5, 6.0], [6, 7, 8, 9, 10, 11.0]
    above = [value + 0.1 for value in high]
    assert [change.verdict for change in compare([_figure(high)], [_figure(low)])] == ["same"]
    assert [change.verdict for change in compare([_figure(above)], [_figure(low)])] == ["better"]
    assert [change.verdict for change in compare([_figure(low)], [_figure(above)])] == ["worse"]
    assert [change.verdict for change in compare([_figure(above, more=False)], [_figure(low)])] == ["worse"]
    assert [change.verdict for change in compare([_figure([100.0])], [_figure(low)])] == ["same"]  # too few rounds
    assert [change.verdict for change in compare([_figure(low)], [])] == ["new"]


def _series(
    name: str, seconds: Callable[[int], float], gib: Callable[[int], float] = lambda at: 0, **options: object
) -> Series:
    @contextmanager
    def begin(at: int) -> Iterator[Callable[[], Taken]]:
        yield lambda: Taken({"plot": seconds(at)}, gib(at))

    return Series(name, begin, **options)  # type: ignore[arg-type]  # as given


def test_a_series_stops_where_its_budget_ends() -> None:
    series = [
        _series("quick", lambda at: at / 1e6),
        _series("slow", lambda at: 20 + at),
        _series("large", lambda at: 0.1, gib=lambda at: 0.1 * at),
        _series("small", lambda at: 0.1, most=10, reason="it allows 10"),
        _series("absent", lambda at: 0.1, package="no_such_package"),
    ]
    reported: list[str] = []
    points, left_out = sweep(Sweep(series, (1, 10, 100, 1000), "plot", 100), lambda: 15.0, reported.append)
    measured = [(point.series, point.at) for point in points if point.seconds]
    assert [at for name, at in measured if name == "quick"] == [1, 10, 100, 1000]
    assert [at for name, at in measured if name in ("slow", "large", "small")] == [1, 1, 1, 10, 10, 10]
    assert {point.series: (point.at, point.stopped) for point in points if point.stopped} == {
        "slow": (100, "would take 120 s"),
        "large": (100, "would take 10 GiB of memory"),
        "small": (100, "it allows 10"),
    }
    assert left_out == ["absent: no_such_package is not installed; make bench-all installs it"]
    assert len(reported) == len(points)


@pytest.mark.slow
def test_each_way_to_send_a_message_that_is_here_sends_it_back() -> None:
    for series in parts.sizes().series:
        if not series.missing:
            with series.begin(100):  # which compares some
                pass


def _invented() -> Parts:
    """Return results that have all that the page names."""
    names = {"start": "workers", "naps": "workers", "round_trip": "sizes", "items": "items"}
    found = {name: Part("2026-01-01", MACHINE, {"ray": "2"}) for name in ("ratios", "workers", "sizes", "items")}
    found["ratios"].figures.append(Figure.of(Measured("journal_vs_none", "what", [0.5])))
    for plot, part in names.items():
        for series in ("ours", "ours_journal", "ray", "copies"):
            for at in (1, 16, 64, 1000, 1_000_000):
                found[part].points.append(Point(plot, series, at, Summary.of([at / 1e5])))
        found[part].points.append(Point(plot, "dask", 1000, None, "would take 200 s"))
    return found


def test_the_page_has_the_figures_of_the_results() -> None:
    found = _invented()
    text = page.render(found)
    assert "starts one worker in 10 µs and 16 in 160 µs" in text
    assert "- Stopped: Dask, *items*, at 1,000: would take 200 s." in text
    assert "| Ray | 640 µs | 640 µs |  | 640 µs |  |" in text
    assert "{" not in text
    del found["items"]
    with pytest.raises(page.UnknownFigureError, match="items/ours/1000 each"):
        page.render(found)


def test_the_page_is_that_of_the_newest_results() -> None:
    newest = records.newest()
    if newest is None:
        assert not page.PAGE.exists()
    else:
        assert page.PAGE.read_text(encoding="utf-8") == page.render(records.load(newest))


@pytest.mark.slow
def test_pictures_are_the_same_each_time(tmp_path: Path) -> None:
    records.save(tmp_path / "results.json", _invented())
    program = (
        "import sys; from pathlib import Path; from benchmarks.performance import plots, records\n"
        "for name in sys.argv[2:]: plots.draw(records.load(Path(sys.argv[1])), Path(name))"
    )
    # A process of its own: matplotlib keeps the files of its fonts open.
    arguments = [tmp_path / "results.json", tmp_path / "one", tmp_path / "other"]
    subprocess.run([sys.executable, "-c", program, *arguments], check=True, cwd=ROOT)
    drawn = {path.name: path.read_bytes() for path in (tmp_path / "one").iterdir()}
    assert drawn == {path.name: path.read_bytes() for path in (tmp_path / "other").iterdir()}
    assert set(drawn) == {f"{name}.svg" for name in ("start", "naps", "round_trip", "items")}
    for data in drawn.values():
        assert b">aioparcs</text>" in data  # a text is a text
        assert b"prefers-color-scheme: dark" in data
        assert b"dc:date" not in data
        assert len(data) < 60_000
