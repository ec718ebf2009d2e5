"""The types of calls: those of the functions that are called, for mypy."""

from pathlib import Path

import pytest
from mypy import api

pytestmark = [pytest.mark.one_loop, pytest.mark.slow]

REPOSITORY = Path(__file__).parents[2]


def test_calls_take_and_give_the_types_of_the_functions(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.py"
    wrong.write_text(
        "from aioparcs import Runner\n\ndef half(n: int) -> float:\n    return n / 2\n\n"
        "async def main(runner: Runner) -> None:\n    async with runner.pool(half, 1) as pool:\n"
        "        found: list[int] = await pool.map([1])\n        await pool.submit('one')\n"
    )
    options = ["--config-file", str(REPOSITORY / "pyproject.toml"), "--cache-dir", str(REPOSITORY / ".mypy_cache")]
    right = Path(__file__).with_name("typed_calls.py")
    out, err, _ = api.run([*options, "--no-error-summary", str(right), str(wrong)])
    assert err == ""
    assert right.name not in out, out
    lines = out.splitlines()
    assert 'incompatible type "list[float]"' in lines[0] or 'has type "list[float]"' in lines[0], lines
    assert any("No overload variant" in line for line in lines), lines
