"""A moment of fuzzing of each target but the page, from real messages and inputs that reached new code on."""

from itertools import islice

import pytest

from tests.fuzz.__main__ import NAMES
from tests.fuzz.corpus import inputs
from tests.fuzz.mutation import mutations
from tests.fuzz.targets import TARGETS
from tests.support.deep import deep, repeats

SLOW = {"channel", "files"}  # each input of theirs takes milliseconds


@pytest.mark.slow
@deep
@pytest.mark.parametrize("name", [name for name in NAMES if name != "page"])
def test_no_input_gets_anything_but_its_answer_or_the_right_error(name: str) -> None:
    count = repeats(1000, 200_000) // (10 if name in SLOW else 1)
    for data in islice(mutations(inputs(name), 1), count):
        TARGETS[name](data)
