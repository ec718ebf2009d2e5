"""The benchmark of pools measures, with a few calls: its figures are for a calm machine and many."""

from importlib.util import find_spec

import pytest

from benchmarks import calls, items, latency, makespan, scale, shared, ui
from benchmarks.harness import ProgramFailed
from benchmarks.pools import PoolMode, take_turns
from benchmarks.results import Measured


@pytest.mark.slow
def test_calls_are_compared_with_those_of_every_peer_that_is_installed() -> None:
    steps: list[tuple[int, int]] = []
    results = calls.measure(2, lambda done, total: steps.append((done, total)), calls=200)
    ratios = {measured.key: measured.values for measured in results.ratios}
    assert len(ratios["calls_vs_multiprocessing"]) == len(ratios["calls_vs_multiprocessing_default"]) == 2
    figures = {measured.key: measured.median for measured in results.figures}
    assert figures["call_us"] > 0
    assert figures["cpu_us_per_call"] > 0
    assert steps[-1][0] == steps[-1][1]
    peers = {"ray": "ray", "dask": "distributed"}
    assert results.left_out == [
        f"calls_vs_{key}: {package} is not installed; run make bench-pool, or pip install --group bench"
        for key, package in peers.items()
        if not find_spec(package)
    ]


@pytest.mark.slow
def test_large_arrays_are_compared_with_those_of_every_peer_that_is_installed() -> None:
    results = shared.measure(1, lambda done, total: None, smaller=32)
    ratios = {measured.key: measured.median for measured in results.ratios}
    assert {"items_vs_processes", "items_shared_vs_processes", "exchange_shared_vs_sockets"} <= set(ratios)
    assert ("setup_vs_joblib_pool" in ratios) is bool(find_spec("joblib"))
    assert [line.partition(":")[0] for line in results.left_out] == ["setup_vs_ray_store"] * (not find_spec("ray"))


@pytest.mark.slow
def test_the_makespan_is_compared_with_the_ideal_one() -> None:
    results = makespan.measure(1, lambda done, total: None)
    ratios = {measured.key: measured.median for measured in results.ratios}
    assert ratios["makespan_vs_ideal"] > 1
    assert ratios["makespan_multiprocessing_vs_ideal"] > 1


def test_the_interval_of_a_median_has_as_many_values_as_its_probability_needs() -> None:
    assert Measured("few", "", range(5)).interval is None
    assert Measured("six", "", [3, 6, 1, 5, 2, 4]).interval == (1, 6)
    assert Measured("many", "", range(1, 22)).interval == (6, 16)  # as in tables of the binomial distribution


def test_a_pool_that_fails_fails_the_benchmark() -> None:
    with pytest.raises(ProgramFailed, match=r"benchmarks\.peers\.calls\.absent 2 ended with exit code 1"):
        take_turns([PoolMode("absent")], 2, 10, 1, lambda: None)


@pytest.mark.slow
def test_a_pool_that_is_shown_is_compared_with_one_that_is_not(capfd: pytest.CaptureFixture[str]) -> None:
    results = ui.measure(2, lambda done, total: None, pools={4: 2000})
    ratios = {measured.key: measured.values for measured in results.ratios}
    assert len(ratios["ui_4_rate"]) == len(ratios["ui_4_cpu"]) == 2
    assert all(measured.median > 0 for measured in results.figures)
    assert capfd.readouterr().err == ""


@pytest.mark.slow
def test_the_times_of_single_calls_are_measured() -> None:
    results = latency.measure(1, lambda done, total: None, calls=100, sizes=(1, 2))
    figures = {measured.key: measured.median for measured in results.figures}
    assert 0 < figures["submit_idle_2_p50_us"] <= figures["submit_idle_2_p999_us"]
    for kind in ("recv", "bare", "bare1"):
        assert 0 < figures[f"{kind}_half_1_p50_us"] <= figures[f"{kind}_half_1_p999_us"]
    assert {measured.key for measured in results.ratios} >= {"submit_p50_2_vs_1", "recv_2_p999_vs_p50"}


@pytest.mark.slow
def test_a_runner_of_many_workers_is_measured() -> None:
    results = scale.measure(1, lambda done, total: None, simulated=300, real=20)
    figures = {measured.key: measured.median for measured in results.figures}
    assert figures["simulated_large_mib"] == 64
    assert figures["simulated_end_us"] > 0
    assert figures["local_all_s"] > figures["local_connect_s"]


@pytest.mark.slow
def test_a_journal_is_compared_with_none_and_memory_is_noted() -> None:
    results = items.measure(2, lambda done, total: None, calls=200, many=1000)
    (measured,) = results.ratios
    assert (measured.key, len(measured.values)) == ("journal_vs_none", 2)
    figures = {measured.key: measured.median for measured in results.figures}
    assert 1 < figures["items_memory_mib"] < 1000
    assert 0 <= figures["items_grown_mib"] < 100
