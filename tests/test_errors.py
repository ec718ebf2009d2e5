import builtins
import copy
import pickle
import signal
import traceback

import pytest

import aioparcs
from aioparcs import (
    ConnectionLost,
    DecodeError,
    EncodeError,
    HandshakeError,
    ParcsError,
    ProtocolError,
    RemoteError,
    SettingError,
    StartError,
    WorkerLost,
    errors,
)

_exceptions = sorted(
    name for name, value in vars(builtins).items() if isinstance(value, type) and issubclass(value, Exception)
)
_NOT_MIXED = {"StopIteration", "StopAsyncIteration", "ExceptionGroup", "BaseExceptionGroup"}


def remote(type: str) -> RemoteError:
    return RemoteError.make(type, "a message", "Traceback ...\n", worker="factor:3")


# The tree


@pytest.mark.parametrize(
    "error, base",
    [
        (WorkerLost, ConnectionLost),
        (HandshakeError, ProtocolError),
        (EncodeError, TypeError),
        (DecodeError, ValueError),
        (SettingError, ValueError),
    ],
)
def test_an_error_is_also_its_base(error: type, base: type) -> None:
    assert issubclass(error, base)


def test_every_error_has_one_root_and_is_public() -> None:
    for name in errors.__all__:
        assert issubclass(getattr(errors, name), ParcsError)
        assert getattr(aioparcs, name) is getattr(errors, name)


# What an exception of the peer becomes


def test_a_remote_error_is_the_builtin_too() -> None:
    for name in _exceptions:
        error = remote(name)
        assert type(error).__name__ == "RemoteError"
        assert str(error) == f"{name} in worker factor:3: a message"
        if name in _NOT_MIXED:
            assert type(error) is RemoteError
        else:
            assert isinstance(error, getattr(builtins, name))
            with pytest.raises(getattr(builtins, name)):
                raise error


def test_a_remote_error_prints_pickles_and_copies() -> None:
    for name in _exceptions:
        error = remote(name)
        assert f": {name} in worker factor:3: a message" in "".join(traceback.format_exception(error))
        assert repr(error) == f"RemoteError('{name}: a message')"
        for other in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
            assert type(other).__bases__ == type(error).__bases__
            assert vars(other) == vars(error)


@pytest.mark.parametrize(
    "name",
    ["KeyboardInterrupt", "SystemExit", "GeneratorExit", "BaseException", "CancelledError", "print", "int", "", "ä.B",
     "json.JSONDecodeError", "__import__", "object"],
)  # fmt: skip
def test_a_class_that_is_no_builtin_exception_is_a_plain_remote_error(name: str) -> None:
    error = remote(name)
    assert type(error) is RemoteError
    assert str(error).startswith(name)


def test_a_missing_attribute_of_the_builtin_is_none() -> None:
    error = remote("FileNotFoundError")
    assert isinstance(error, OSError)
    assert (error.errno, error.strerror, error.filename) == (None, None, None)


def test_except_star_and_groups_take_remote_errors() -> None:
    caught: list[BaseException] = []
    try:
        raise ExceptionGroup("two workers", [remote("ValueError"), remote("KeyError")])
    except* ValueError as group:
        caught += group.exceptions
    except* KeyError as group:
        caught += group.exceptions
    assert [error.type for error in caught if isinstance(error, RemoteError)] == ["ValueError", "KeyError"]


def test_a_cause_is_chained_and_survives_a_pickle() -> None:
    cause = RemoteError.make("KeyError", "'n'")
    for error in (made := RemoteError.make("ValueError", "no n", cause=cause), pickle.loads(pickle.dumps(made))):
        assert isinstance(error.__cause__, KeyError)
        assert error.cause is error.__cause__
        assert "KeyError: 'n'" in "".join(traceback.format_exception(error))


def test_a_remote_class_names_the_builtin_that_it_extends() -> None:
    error = RemoteError.make("json.JSONDecodeError", "no JSON", builtin="ValueError")
    for other in (error, pickle.loads(pickle.dumps(error))):
        assert isinstance(other, ValueError)
        assert str(other) == "json.JSONDecodeError: no JSON"


def test_a_remote_error_without_more_is_one_line() -> None:
    assert str(RemoteError.make("ValueError", "no")) == "ValueError: no"
    assert str(RemoteError.make("ValueError", "", worker="factor:3")) == "ValueError in worker factor:3"


def test_a_remote_traceback_is_printed_once_below_its_exception() -> None:
    with pytest.raises(KeyError) as caught:
        dict[str, int]()["n"]
    remote_text = "".join(traceback.format_exception(caught.value))
    made = RemoteError.make("KeyError", "'n'", remote_text, worker="factor:3")
    made.add_note("item 3: ('n',)")
    printed = "".join(traceback.format_exception(pickle.loads(pickle.dumps(made))))
    exception, *notes = printed.splitlines()
    assert exception == "aioparcs.errors.RemoteError: KeyError in worker factor:3: 'n'"
    assert notes == [*remote_text.splitlines()[:-1], "item 3: ('n',)"]


# Sentences


def test_worker_lost_of_a_killed_worker_has_its_last_lines() -> None:
    lost = WorkerLost.from_exit("factor:3", -signal.SIGKILL, ("loading", "working"))
    assert (lost.signal, lost.exitcode) == (9, None)
    assert str(lost) == "worker factor:3 was killed by SIGKILL; its last lines:\n    loading\n    working"


def test_a_bus_error_points_at_shared_memory() -> None:
    assert "SIGBUS (/dev/shm may be full: " in str(WorkerLost.from_exit("factor:3", -signal.SIGBUS))


def test_worker_lost_of_a_worker_that_ended_has_its_exit_code() -> None:
    lost = WorkerLost.from_exit("factor:3", 7)
    assert (lost.signal, lost.exitcode) == (None, 7)
    assert str(lost) == "worker factor:3 ended with exit code 7"


@pytest.mark.parametrize(
    "error",
    [
        WorkerLost.from_exit("factor:3", -9, ("a", "b")),
        EncodeError("$.a", "no form"),
        StartError("factor", "no such module", ("a line",)),
        ProtocolError("unknown frame type 99"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_pickles_with_all_its_attributes(error: ParcsError) -> None:
    other = pickle.loads(pickle.dumps(error))
    assert type(other) is type(error)
    assert str(other) == str(error)
    assert vars(other) == vars(error)


def test_a_signal_without_a_name_has_its_number() -> None:
    assert errors.signal_name(9) == "SIGKILL"
    assert errors.signal_name(250) == "signal 250"


def test_a_fresh_error_has_all_but_the_traceback_and_later_notes_of_the_one_that_is_kept() -> None:
    cause = RemoteError.make("KeyError", "'n'")
    lost = WorkerLost("factor:3", "was killed", exitcode=None, signal=9, last_lines=("x",), call="item 3")
    start = StartError("factor", "no such module", ("a", "b"))
    for kept in (lost, start, EncodeError("$", "no"), RemoteError.make("ValueError", "no n", "T\n", cause), cause):
        kept.add_note("of the first")
        kept.__cause__ = cause
        raised = []
        for _ in range(2):
            with pytest.raises(type(kept)) as caught:
                raise errors.fresh(kept)
            caught.value.add_note("of the catcher")
            raised.append(caught.value)
        assert raised[0] is not raised[1]
        for one in raised:
            assert (str(one), vars(one) | {"__notes__": kept.__notes__}) == (str(kept), vars(kept))
            assert one.__notes__ == [*kept.__notes__, "of the catcher"]
            assert one.__cause__ is cause
        assert kept.__traceback__ is None


def test_a_fresh_error_of_another_package_is_itself_without_its_traceback() -> None:
    with pytest.raises(LookupError) as caught:
        raise LookupError
    assert errors.fresh(caught.value) is caught.value
    assert caught.value.__traceback__ is None
