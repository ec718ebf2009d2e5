from typing import Any

import pytest

from aioparcs import EncodeError, RemoteError, codec
from aioparcs.channel import decode_error_or_default, encode_error


def travelled(error: BaseException) -> RemoteError:
    return decode_error_or_default(codec.decode(codec.encode_inline(encode_error(error))[0]))


def raised(error: BaseException, cause: BaseException | None = None) -> BaseException:
    try:
        raise error from cause
    except BaseException as caught:
        return caught


class NoNumber(ValueError):
    pass


class Textless(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


def test_a_builtin_arrives_as_itself_with_its_traceback() -> None:
    error = travelled(raised(ZeroDivisionError("division by zero")))
    assert isinstance(error, ZeroDivisionError)
    assert (error.type, error.message) == ("ZeroDivisionError", "division by zero")
    assert "test_error_codec.py" in error.traceback
    assert error.traceback.endswith("ZeroDivisionError: division by zero\n")


def test_a_user_defined_exception_arrives_as_the_builtin_that_it_extends() -> None:
    error = travelled(NoNumber("n"))
    assert isinstance(error, ValueError)
    assert error.type == "tests.channel.test_error_codec.NoNumber"


def test_an_error_of_this_package_arrives_as_the_builtin_that_it_is() -> None:
    error = travelled(EncodeError("$.a", "no form"))
    assert isinstance(error, TypeError)
    assert error.message == "$.a: no form"


def test_a_cause_arrives_without_a_traceback_of_its_own() -> None:
    error = travelled(raised(ValueError("outer"), raised(KeyError("inner"))))
    assert error.cause is not None
    assert error.cause.traceback == ""
    assert isinstance(error.__cause__, KeyError)
    assert "KeyError: 'inner'" in error.traceback


def test_a_remote_error_is_passed_on_with_its_original_type() -> None:
    error = travelled(raised(travelled(NoNumber("n"))))
    assert isinstance(error, ValueError)
    assert (error.type, error.message) == ("tests.channel.test_error_codec.NoNumber", "n")


@pytest.mark.parametrize(
    "error, message",
    [
        (OSError(2, "No such file", "caf\udce9"), r"[Errno 2] No such file: 'caf\udce9'"),
        (ValueError("\ud800"), r"\ud800"),
        (Textless(), "str() of it raised RuntimeError"),
        (KeyError(), ""),
    ],
)
def test_an_exception_without_a_proper_text_arrives(error: Exception, message: str) -> None:
    assert travelled(error).message == message


def test_a_long_text_keeps_its_end() -> None:
    error = travelled(raised(ValueError("x" * 100_000 + "the end")))
    assert len(error.message) < 70_000
    assert len(error.traceback) < 70_000
    assert error.message.endswith("the end")


def test_many_causes_and_cycles_of_causes_are_cut() -> None:
    error = first = ValueError("0")
    for number in range(1, 500):
        error.__cause__ = ValueError(str(number))
        error = error.__cause__
    error.__cause__ = first
    arrived, count = travelled(first), 0
    while arrived.cause:
        arrived, count = arrived.cause, count + 1
    assert count == 16


@pytest.mark.parametrize(
    "values", [{"type": "ValueError", "message": "m"}, {"type": "ValueError", "message": 5, "x": 1}]
)
def test_an_error_map_may_lack_optional_keys(values: dict[str, Any]) -> None:
    error = decode_error_or_default(values)
    assert isinstance(error, ValueError)
    assert (error.message, error.traceback, error.cause) == (str(values["message"]), "", None)
