"""The options of a start: one table, and all that must agree with it."""

import inspect
import re
from pathlib import Path
from typing import Any

import pytest

from aioparcs import Runner
from aioparcs.engine import WorkerSpec
from aioparcs.engine.options import OPTIONS, check_for_service
from aioparcs.errors import StartError
from aioparcs.starter import Starter, StartOptions

DOCS = Path(__file__).parents[2] / "docs"
# Those that only some of the ways to start take.
SOME = {"per_container", "wire"}
VALUES: dict[str, tuple[Any, Any]] = {
    "env": ({"A": "b"}, {"A": "b"}),
    "cpus": (2, 2.0),
    "memory": ("512m", 512 << 20),
    "gpus": (1, 1),
    "per_container": ("auto", 0),
    "wire": ("v1", "v1"),
    "files": (["data", "./data/", Path("b")], ("data", "b")),
    "swarm": ({"labels": {}}, {"labels": {}}),
}


def test_every_option_is_in_the_signatures_and_in_the_specification() -> None:
    assert StartOptions.__annotations__.keys() == OPTIONS.keys() - SOME
    assert OPTIONS.keys() <= set(WorkerSpec._fields)
    assert VALUES.keys() == OPTIONS.keys()


@pytest.mark.parametrize(
    "method, some", [(Starter.start, {"wire"}), (Starter.start_many, SOME), (Starter.pool, {"per_container"})]
)
def test_each_way_to_start_shows_its_options(method: Any, some: set[str]) -> None:
    shown = inspect.signature(method).parameters
    assert shown.keys() >= StartOptions.__annotations__.keys() | some
    assert not shown.keys() & (SOME - some)
    assert shown["memory"].annotation == "int | str | None"


def test_the_text_of_start_and_the_page_on_services_name_every_option() -> None:
    text = (inspect.getdoc(Starter.start) or "").partition("Raises:")[0]
    assert re.findall(r"^    (\w+): ", text, re.MULTILINE)[1:] == ["wire", *StartOptions.__annotations__]
    (row,) = re.findall(r"^\| options \| (.*) \| (.*) \|$", (DOCS / "tree.md").read_text(), re.MULTILINE)
    assert re.findall(r"(\w+)=", row[0]) == [name for name, option in OPTIONS.items() if option.types]
    assert sorted(re.findall(r"(\w+)=", row[1])) == sorted(name for name, one in OPTIONS.items() if not one.types)


@pytest.mark.parametrize("name", OPTIONS)
def test_none_means_the_default_and_other_values_are_read(name: str) -> None:
    given, read = VALUES[name]
    nothing: dict[str, Any] = {name: None}
    assert WorkerSpec.make("factor", **nothing) == WorkerSpec("factor")
    assert WorkerSpec.make("factor", **{name: given}) == WorkerSpec("factor")._replace(**{name: read})


@pytest.mark.parametrize("name", OPTIONS)
def test_the_runner_reads_a_services_options_as_its_own(name: str) -> None:
    spec = WorkerSpec.make("factor", **{name: VALUES[name][0]})
    if OPTIONS[name].types:
        check_for_service(spec)
        assert all(type(value) in OPTIONS[option].types for option, value in spec.request.items())
        assert WorkerSpec.make("factor", **spec.request) == spec
    else:
        with pytest.raises(StartError, match=f"{name}=.* can only be set by its runner, not by a service"):
            check_for_service(spec)


def test_a_keyword_that_is_no_option_is_pythons_own_error() -> None:
    runner: Any = Runner(engine="local")
    for start in (runner.start, runner.start_many, runner.pool):
        arguments = [] if start == runner.start else [2]
        with pytest.raises(
            TypeError, match=rf"^Starter\.{start.__name__}\(\) got an unexpected keyword argument 'mem'"
        ):
            start("factor", *arguments, mem=1)
    with pytest.raises(TypeError, match="'per_container'"):
        runner.start("factor", per_container=2)


@pytest.mark.parametrize(
    "name, hint",
    [
        ("retry", "did you mean retries="),
        ("setups", "did you mean setup="),
        ("initializer", "with setup={...}"),
        ("chunksize", "leave it out"),
        ("memmory", "did you mean memory="),
    ],
)
def test_a_keyword_of_other_pools_is_answered_by_what_it_is_here(name: str, hint: str) -> None:
    runner: Any = Runner(engine="local")
    with pytest.raises(TypeError) as caught:
        runner.pool("factor", 2, **{name: 3})
    assert f"unexpected keyword argument {name!r}; " in str(caught.value)
    assert hint in str(caught.value)
