"""The types of calls: those of the functions that are called, for mypy."""

from pathlib import Path

import pytest
from mypy import api

pytestmark = [pytest.mark.one_loop, pytest.mark.slow]

REPOSITORY = Path(__file__).parents[2]


def check(file: Path) -> str:
    options = ["--config-file", str(REPOSITORY / "pyproject.toml"), "--cache-dir", str(REPOSITORY / ".mypy_cache")]
    out, err, _ = api.run([*options, "--no-error-summary", str(file)])
    assert err == ""
    return out


def test_results_have_the_types_of_the_functions() -> None:
    assert check(Path(__file__).with_name("typed_calls.py")) == ""


def test_a_wrong_type_is_found(tmp_path: Path) -> None:
    file = tmp_path / "wrong.py"
    file.write_text(
        "from aioparcs import Runner\n\ndef half(n: int) -> float:\n    return n / 2\n\n"
        "async def main(runner: Runner) -> None:\n    async with runner.pool(half, 1) as pool:\n"
        "        found: list[int] = await pool.map([1])\n        await pool.submit('one')\n"
    )
    lines = check(file).splitlines()
    assert 'incompatible type "list[float]"' in lines[0] or 'has type "list[float]"' in lines[0], lines
    assert any("No overload variant" in line for line in lines), lines
