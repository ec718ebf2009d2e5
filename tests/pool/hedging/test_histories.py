"""The scheduler of pools on random histories in which calls are given to a second worker."""

from random import Random
from typing import Any

import pytest

from aioparcs.errors import CallTimeout
from aioparcs.pool.scheduler import Retry
from tests.pool.fakes import COROUTINE, PLAIN
from tests.pool.model import Model
from tests.support.deep import deep, repeats

_STEPS = repeats(20_000, 1_000_000)  # of the histories
_HISTORY = 400


def _step(model: Model, random: Random) -> None:
    """Do one random thing; there are few calls, so that workers are idle, and some calls take long."""
    worker = random.choice(list(model.workers.values()))
    match random.choices(range(10), [40, 20, 15, 3, 2, 3, 2, 3, 2, 2])[0]:
        case 0:
            worker.work(20, random.randrange(3))
            model.deliver(worker, 9)
        case 1 if len(model.unsettled) < 4:
            model.add_client(random.randrange(4), random.choice([PLAIN, COROUTINE]), random.choice([0, 0, 0, 2]))
        case 2:
            model.pass_time(0.2)
        case 3:
            model.kill(worker)
        case 4:
            worker.is_connected = False
        case 5 if unsettled := model.unsettled:
            model.cancel(random.choice(unsettled))
        case 6 if model.clients:
            model.drop(random.choice(model.clients))
        case 7 if running := model.running:
            model.time_out(*random.choice(running))
        case 8:
            model.outgrow(worker)
        case 9 if expiring := model.expiring:
            model.succeed(random.choice(expiring), 2)
        case _:
            model.resize(3)
    while len(model.workers) < 3:
        model.add_worker(random.randrange(1, 4), random.choice([None, None, 30]))


@pytest.mark.slow
@deep
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("part", range(2))
def test_long_histories(part: int) -> None:
    copies = 0
    for seed in range(part, _STEPS // _HISTORY, 2):
        random = Random(seed)
        on: Any = random.choice([(), (CallTimeout,), ("ValueError",)])
        retry = Retry(random.randrange(3), on, random.choice([0, 0.01]))
        model = Model(retry, seed, random.choice([None, None, 1000.0]), hedge=1.0)
        hedging: Any = model.scheduler._hedging
        model.add_worker(1)
        for _ in range(_HISTORY):
            _step(model, random)
            copies += bool(hedging._copies)
        model.check_end()
        assert not hedging._copies
        assert not hedging._originals
    assert copies > 100
