"""
Ten million calls that do nothing, over 8 workers, without a journal and with one; and shorter rounds of both in turns.

The ratio is the time without a journal over the time with one: the share of the speed that is left.
"""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.harness import Progress
from benchmarks.pools import PoolMode, Pools, Round, take_turns
from benchmarks.results import Measured, Results, at_least, at_most, ratio

_WORKERS, _CALLS, _MANY = 8, 200_000, 10_000_000
_PATIENCE = 1000.0  # seconds for the long rounds; one takes one or two minutes
_PLAIN, _JOURNAL = PoolMode("ours", "items"), PoolMode("ours", "journal")
_NAMES = {_PLAIN: "items", _JOURNAL: "items_journal"}


def measure(rounds: int, progress: Progress, calls: int = _CALLS, many: int = _MANY) -> Results:
    """Compare in ``rounds`` pairs of ``calls`` calls, then make ``many`` of each kind."""
    done = 0

    def step() -> None:
        nonlocal done
        done += 1
        progress(done, rounds + len(_NAMES))

    results = Results([], [journal_ratio(rounds, step, calls)])
    for pool_mode in _NAMES:
        with Pools({"ours"}, _WORKERS, _PATIENCE) as pools:
            pools.run_round(pool_mode, 10_000)  # warms up
            results.figures += figures(pool_mode, pools.run_round(pool_mode, many))
        step()
    return results


def journal_ratio(rounds: int, step: Callable[[], None], calls: int = _CALLS) -> Measured:
    """Compare calls with a journal and without."""
    taken = take_turns((_PLAIN, _JOURNAL), _WORKERS, calls, rounds, step)
    what = "calls a second with a journal / without"
    return ratio("journal_vs_none", what, taken[_PLAIN].seconds, taken[_JOURNAL].seconds, at_least(0.5))


def figures(pool_mode: PoolMode, taken: Round) -> list[Measured]:
    """Return the rate of each million of a long round, and what the runner's memory has grown by at most."""
    key, what = _NAMES[pool_mode], "with a journal" if pool_mode == _JOURNAL else "without a journal"
    before, *after = taken.more["memory_mib"]
    rates = [1e6 / seconds for seconds in taken.more["seconds_of_parts"]]
    memory = Measured(f"{key}_memory_mib", f"memory of a runner before its calls, {what}", [before], "MiB")
    bound = None if pool_mode is _JOURNAL else at_most(16)
    grown = Measured(f"{key}_grown_mib", f"... the most that it grows by, {what}", [max(after) - before], "MiB", bound)
    if not rates:
        return [memory, grown]
    return [Measured(f"{key}_per_s", f"calls a second of each million, {what}", rates, "/s"), memory, grown]
