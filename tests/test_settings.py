import math
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioparcs import SettingError, Settings
from aioparcs.settings import VARIABLES, misspelt, parse_size
from tests.support.jobs import execute
from tests.support.strategies import property_test

_sizes = [name for name, value in Settings()._asdict().items() if type(value) is int]
_times = [name for name, value in Settings()._asdict().items() if type(value) is float]


def variable(name: str) -> str:
    return f"PARCS_{name.upper()}"


def test_without_variables_settings_have_their_defaults() -> None:
    assert Settings.from_env({"PATH": "/bin", "PARCS_RUNNER": "tcp://h:1"}) == Settings()


def test_the_process_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARCS_START_TIMEOUT", "2.5")
    assert Settings.from_env().start_timeout == 2.5


def test_every_setting_has_a_variable() -> None:
    environ = {variable(name): "7" for name in Settings._fields}
    assert Settings.from_env(environ) == Settings(*[7] * len(Settings._fields))


@pytest.mark.parametrize(
    "value, error", [("60", TypeError), (None, TypeError), (True, TypeError), (0, SettingError), (-1, SettingError)]
)
def test_an_impossible_value_in_a_program_is_an_error(value: object, error: type[Exception]) -> None:
    for name in Settings._fields:
        with pytest.raises(error, match=re.escape(f"Settings({name}={value!r}): it must be a positive ")):
            Settings()._replace(**{name: value}).check()  # type: ignore[arg-type]  # on purpose


def test_times_may_be_whole_numbers_and_sizes_no_others() -> None:
    Settings(start_timeout=60, max_body=1).check()
    with pytest.raises(SettingError, match=r"start_timeout=inf\)"):
        Settings(start_timeout=math.inf).check()
    with pytest.raises(TypeError, match=r"max_body=1\.5\): it must be a positive whole number"):
        Settings(max_body=1.5).check()  # type: ignore[arg-type]  # on purpose


def test_a_setting_keeps_its_type() -> None:
    environ = {variable(name): "7" for name in Settings._fields}
    for value, default in zip(Settings.from_env(environ), Settings(), strict=True):
        assert type(value) is type(default)


def test_changed_settings_are_passed_to_another_process() -> None:
    changed = Settings(max_body=1 << 33, start_timeout=0.1, liveness=1e-3, last_lines=3)
    assert Settings.from_env(changed.to_env()) == changed
    assert Settings().to_env() == {}


@pytest.mark.parametrize(
    "text, size",
    [("1", 1), ("512", 512), ("64k", 65536), ("64K", 65536), ("16m", 16 << 20), ("2g", 2 << 30), ("1t", 1 << 40),
     ("1.5k", 1536), ("512mb", 512 << 20), ("512MiB", 512 << 20), (" 8k ", 8192), ("7b", 7), ("1e3", 1000)],
)  # fmt: skip
def test_a_size_may_have_a_unit(text: str, size: int) -> None:
    assert parse_size(text) == size


_NO_SIZES = [
    "",
    " ",
    "k",
    "kb",
    "0",
    "0.5",
    "-1",
    "-1k",
    "nan",
    "inf",
    "infk",
    "1e999",
    "-inf",
    "1x",
    "1 2",
    "0x10",
    "k1",
    "ten",
]


@pytest.mark.parametrize("text", _NO_SIZES)
def test_an_invalid_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # who asked for a size says what was wrong with it
        parse_size(text)


@pytest.mark.parametrize("text", _NO_SIZES)
def test_an_invalid_size_names_its_variable(text: str) -> None:
    for name in _sizes:
        with pytest.raises(SettingError) as caught:
            Settings.from_env({variable(name): text})
        assert str(caught.value) == f"{variable(name)}={text!r} is not a positive size or number such as 64m"


@pytest.mark.parametrize("text", ["", "0", "-1", "nan", "inf", "-inf", "1e999", "1k", "10s", "soon", "1,5"])
def test_an_invalid_time_names_its_variable(text: str) -> None:
    for name in _times:
        with pytest.raises(SettingError) as caught:
            Settings.from_env({variable(name): text})
        assert str(caught.value) == f"{variable(name)}={text!r} is not a positive number of seconds"


@property_test
@given(st.text(max_size=8) | st.text("0123456789.ekmgtib-+ ", max_size=8), st.sampled_from(_sizes + _times))
def test_any_text_is_a_positive_value_or_an_error(text: str, name: str) -> None:
    try:
        value = getattr(Settings.from_env({variable(name): text}), name)
    except SettingError:
        return
    assert 0 < value < math.inf


def test_settings_dont_change() -> None:
    with pytest.raises(AttributeError):
        Settings().max_body = 1  # type: ignore[misc]  # that is the point


def test_the_variables_that_are_documented_are_those_that_there_are() -> None:
    text = (Path(__file__).parent.parent / "docs" / "settings.md").read_text()
    documented = set(re.findall(r"^\| `PARCS_(\w+)`", text, re.MULTILINE))
    assert documented == VARIABLES


@pytest.mark.parametrize(
    "name, suggestion",
    [
        ("PARCS_START_TIMOUT", "PARCS_START_TIMEOUT"),
        ("PARCS_MODULE", "PARCS_MODULES"),
        ("PARCS_liveness", "PARCS_LIVENESS"),
    ],
)
def test_a_variable_that_is_nearly_a_setting_is_reported(name: str, suggestion: str) -> None:
    assert misspelt({name: "1", "PARCS_LIVENESS": "2"}) == [f"{name} is not a setting; did you mean {suggestion}?"]


def test_variables_of_other_programs_are_ignored() -> None:
    assert misspelt({"PARCS_CLUSTER_DIR": "", "PARCS_TEST_SESSION": "", "PARCS_FOO": "", "PARCS": ""}) == []


@pytest.mark.slow
def test_a_runner_reports_a_misspelt_variable_once() -> None:
    program = "from aioparcs import *\nasync def main(runner): Runner(), Runner()\nrun(main)"
    done = execute(program, PARCS_START_TIMOUT="300")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "runner: PARCS_START_TIMOUT is not a setting; did you mean PARCS_START_TIMEOUT?\n"
