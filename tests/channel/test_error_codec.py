import copy
import pickle
import re
import traceback
from collections.abc import Callable
from typing import Any, TypeVar

import pytest

from aioparcs import EncodeError, RemoteError, codec, register
from aioparcs.channel import decode_error_or_default, encode_error
from aioparcs.errors import set_worker

_Error = TypeVar("_Error", bound=BaseException)


def travelled(error: BaseException) -> RemoteError:
    return decode_error_or_default(codec.decode(codec.encode_inline(encode_error(error))[0]))


def raised(error: _Error, cause: BaseException | None = None) -> _Error:
    try:
        raise error from cause
    except BaseException:
        return error


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


# State, notes and groups


@register
class Refused(Exception):
    """A class whose attributes have the names of a RemoteError's."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = [message]
        self.traceback = self._remote_own = 5

    @property
    def type(self) -> str:
        return "refusal"


class Unknown(Exception):
    def __init__(self, status: Any) -> None:
        super().__init__(status, "more")
        self.message = {"not": "text"}
        self.status = status
        self._worker = "its own"
        self._remote_own = self._remote_worker = 5


def test_args_and_attributes_of_a_class_that_is_not_registered_arrive() -> None:
    error: Any = travelled(Unknown((404, {1})))
    assert not isinstance(error, Unknown)
    assert (error.args, error.status, error._worker) == (((404, {1}), "more"), (404, {1}), "its own")
    assert (error.message, error.worker) == ("((404, {1}), 'more')", "")


def test_attributes_of_a_registered_class_hide_those_of_a_remote_error() -> None:
    error: Any = travelled(Refused("no"))
    for one in (error, pickle.loads(pickle.dumps(error)), copy.copy(error), travelled(error)):
        assert isinstance(one, Refused)
        assert (one.message, one.type) == (["no"], "refusal")
        assert str(one) == "tests.channel.test_error_codec.Refused: no"


def test_what_cannot_be_sent_is_text_among_args_and_missing_among_attributes() -> None:
    class Odd:
        def __repr__(self) -> str:
            return "an odd thing"

    error: Any = travelled(Unknown(Odd()))
    assert error.args == ("an odd thing", "more")
    assert not hasattr(error, "status")
    long = travelled(ValueError(b"x" * 70_000, 1))
    assert long.args[1] == 1
    assert len(long.args[0]) < 70_000


def test_an_error_whose_state_cannot_be_decoded_says_so_once() -> None:
    values = encode_error(raised(ValueError("bad"))) | {"notes": ["a hint"], "state": b"\x92"}
    error = decode_error_or_default(values)
    assert isinstance(error, ValueError)
    assert error.args == ("bad",)
    hint, problem, where = error.__notes__
    assert (hint, problem.partition(":")[0]) == ("a hint", "its args and attributes can't be decoded here")
    assert "ValueError: bad" not in where


def test_a_note_is_no_part_of_the_traceback() -> None:
    error = raised(ValueError("bad"))
    error.add_note("a hint\nof two lines")
    hint, where = travelled(error).__notes__
    assert hint == "a hint\nof two lines"
    assert where.startswith("Traceback")
    assert "hint" not in where


def test_a_group_has_its_members_once_and_its_whole_traceback_for_older_peers() -> None:
    inner = raised(ExceptionGroup("inner", [raised(KeyError("k"))]))
    group = raised(ExceptionGroup("outer", [raised(ValueError("bad")), inner]))
    values = encode_error(group)
    assert values["traceback"] == "".join(traceback.format_exception(group))
    error = decode_error_or_default(values)
    assert isinstance(error, ExceptionGroup)
    assert isinstance(error.exceptions[1].exceptions[0], KeyError)
    printed = "".join(traceback.format_exception(error))
    for text in ("ValueError: bad", "KeyError: 'k'", "ExceptionGroup: inner", "ExceptionGroup: outer"):
        assert printed.count(text) == 1
    assert printed.count("Traceback (most recent call last)") == 4


def test_a_large_group_says_how_many_it_leaves_out() -> None:
    error = travelled(ExceptionGroup("many", [ValueError(number) for number in range(70)]))
    assert isinstance(error, ExceptionGroup)
    assert len(error.exceptions) == 65
    assert str(error.exceptions[-1]) == "Exception: 6 more errors of the group, which are not shown"


def test_an_error_that_is_passed_on_has_each_traceback_and_note_once() -> None:
    first = raised(ValueError("bad"))
    first.add_note("a hint")
    second = travelled(first)
    set_worker(second, "tree:2")
    second.add_note("item 3")
    third = travelled(raised(second))
    assert third.__notes__[:2] == ["a hint", "item 3"]
    for text in (third.traceback, "".join(traceback.format_exception(third))):
        assert text.count("ValueError in worker tree:2: bad") == text.count("a hint") == text.count("item 3") == 1
        assert text.count("Traceback (most recent call last)") == 2


# Exceptions whose own code raises

_NO_TEXT: Any = ("f.py", 3, 5, b"bytes text")  # a SyntaxError that Python up to 3.13 can't print


class RaisingNotes(Exception):
    __notes__ = property(lambda self: 1 / 0)


class RaisingCause(Exception):
    __cause__ = property(lambda self: 1 / 0)


class RaisingClass(Exception):
    __class__ = property(lambda self: 1 / 0)


class RaisingAttributes(Exception):
    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(name)


class RaisingMembers(ExceptionGroup[Exception]):
    exceptions = property(lambda self: 1 / 0)


class OddText(str):
    def __getitem__(self, index: Any) -> Any:
        raise RuntimeError("no characters")


class OddlyTexted(Exception):
    def __str__(self) -> str:
        return OddText("odd")


class Moduleless(Exception):
    __module__ = None  # type: ignore[assignment]  # it is what such a class does


class Builtin(Exception):
    def __reduce__(self) -> Any:
        raise RuntimeError("no reduction")


Builtin.__module__ = "builtins"


class RaisingMeta(type):
    def __getattribute__(cls, name: str) -> Any:
        raise RuntimeError(name)


class OfRaisingMeta(Exception, metaclass=RaisingMeta):
    pass


class Recursive(Exception):
    def __str__(self) -> str:
        return str(self)


class Leaving(Exception):
    def __str__(self) -> str:
        raise SystemExit


# Made by the test: pytest inspects what parametrizes it.
_RAISING: dict[str, Callable[[], Exception]] = {
    "RaisingNotes": lambda: RaisingNotes("bad"),
    "RaisingCause": lambda: RaisingCause("bad"),
    "RaisingClass": lambda: RaisingClass("bad"),
    "RaisingAttributes": lambda: RaisingAttributes("bad"),
    "RaisingMembers": lambda: RaisingMembers("bad", [ValueError("a member")]),
    "OddlyTexted": lambda: OddlyTexted("bad"),
    "Moduleless": lambda: Moduleless("bad"),
    "Builtin": lambda: Builtin("bad"),
    "OfRaisingMeta": lambda: OfRaisingMeta("bad"),
    "Recursive": lambda: Recursive("bad"),
    "Leaving": lambda: Leaving("bad"),
    "SyntaxError": lambda: SyntaxError("bad", _NO_TEXT),
}


@pytest.mark.parametrize("name", _RAISING)
def test_an_exception_whose_own_code_raises_arrives(name: str) -> None:
    error = raised(_RAISING[name]())
    arrived = travelled(error)
    assert arrived.type.rpartition(".")[2] == name
    assert name == "OfRaisingMeta" or "test_error_codec.py" in arrived.traceback
    group: Any = travelled(ExceptionGroup("g", [ValueError("first"), error]))
    assert [member.type.rpartition(".")[2] for member in group.exceptions] == ["ValueError", name]


def test_a_traceback_that_python_cannot_print_has_its_frames() -> None:
    error = travelled(raised(RaisingCause("bad")))  # since 3.14 Python prints any SyntaxError
    assert error.traceback.startswith("[this traceback is not complete: to print the exception raised ")
    assert "in raised\n" in error.traceback
    assert error.traceback.endswith("RaisingCause: bad\n")


def test_the_members_of_a_group_are_those_that_python_knows() -> None:
    arrived = travelled(RaisingMembers("bad", [ValueError("a member")]))
    assert isinstance(arrived, ExceptionGroup)
    assert str(arrived.exceptions[0]) == "ValueError: a member"


class Falsy(Exception):
    def __len__(self) -> int:
        return 0


def test_a_cause_may_be_false() -> None:
    error = travelled(raised(ValueError("outer"), Falsy("inner")))
    assert error.cause is not None
    assert error.cause.message == "inner"


# Registered classes with code or attributes of their own


@register
class Frozen(Exception):
    def __init__(self, code: int) -> None:
        super().__init__(code)
        vars(self)["code"] = code

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{name} is frozen")


@register
class OfArgs(Exception):
    args = property(lambda self: ("its own",))


@register
class Refusing(Exception):
    def __new__(cls, *args: Any) -> Any:
        return super().__new__(cls, *args)

    @property
    def __dict__(self) -> Any:  # type: ignore[override]  # it is what such a class does
        raise RuntimeError("no entries")


class Slotted(Exception):
    __slots__ = ("_code", "never_set", "type")

    def __init__(self, code: int) -> None:
        super().__init__("slotted")
        self._code, self.type = code, "of a slot"


@register
class MoreSlotted(Slotted):
    __slots__ = ("__hidden",)

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.__hidden = code + 1

    @property
    def codes(self) -> tuple[int, int]:
        return self._code, self.__hidden


@register
class Unbuildable(UnicodeDecodeError):
    """One that no class may extend, and that is not made from any args."""

    def __init_subclass__(cls) -> None:
        raise TypeError("it is final")


def _copies(error: Any) -> list[Any]:
    return [error, pickle.loads(pickle.dumps(error)), copy.copy(error), travelled(error)]


@pytest.mark.parametrize("make", [lambda: Frozen(3), lambda: OfArgs(3), lambda: Refusing(3)])
def test_a_registered_class_may_refuse_to_have_attributes_set(make: Callable[[], Exception]) -> None:
    for error in _copies(travelled(raised(make(), KeyError("inner")))):
        set_worker(error, "w:1")
        assert isinstance(error, Frozen | OfArgs | Refusing)
        assert str(error).endswith("in worker w:1: 3") or isinstance(error, OfArgs)
        assert isinstance(error.__cause__, KeyError)
        assert "test_error_codec.py" in "".join(traceback.format_exception(error))
    frozen: Any = travelled(Frozen(3))
    assert (frozen.code, frozen.args) == (3, (3,))
    with pytest.raises(AttributeError, match="frozen"):
        frozen.other = 1


def test_a_registered_exception_that_cannot_be_made_keeps_all_else() -> None:
    lost = Unbuildable("utf-8", b"x", 0, 1, "bad")
    lost.args = ("other args",)
    error = travelled(raised(lost, KeyError("inner")))
    assert error.type == "tests.channel.test_error_codec.Unbuildable"
    assert isinstance(error.__cause__, KeyError)
    assert "test_error_codec.py" in error.traceback
    assert error.__notes__[0].startswith("it can't be made here as Unbuildable: TypeError")


def test_slots_are_attributes() -> None:
    for error in _copies(travelled(MoreSlotted(3))):
        assert isinstance(error, MoreSlotted)
        assert (error.codes, error.type, hasattr(error, "never_set")) == ((3, 4), "of a slot", False)
    other: Any = travelled(Slotted(3))  # which is not registered
    assert (other._code, other.type) == (3, "tests.channel.test_error_codec.Slotted")


@register
class Named(Exception):
    type = "of the class"

    def __init__(self) -> None:
        super().__init__("text")
        self.traceback = self.cause = self.worker = self.message = "its own"


@register
class NamedByClass(Exception):
    worker = property(lambda self: "of the class")
    traceback = cause = message = type = "of the class"


def test_own_attributes_hide_all_those_of_a_remote_error() -> None:
    for made, others in ((Named(), "its own"), (NamedByClass("text"), "of the class")):
        first: Any = travelled(raised(made, KeyError("inner")))
        set_worker(first, "w:1")
        for error in _copies(first):
            assert error.type == "of the class"
            assert {error.traceback, error.cause, error.worker, error.message} == {others}
            assert str(error).endswith(f"{type(made).__name__} in worker w:1: text") or error is not first
            assert isinstance(error.__cause__, KeyError)


def test_attributes_of_other_classes_hide_none() -> None:
    error: Any = travelled(Unknown(404))
    set_worker(error, "w:1")
    assert (error.message, error.worker, error.cause) == ("(404, 'more')", "w:1", None)


# Large exceptions


def _noted(size: int) -> ValueError:
    error = ValueError("v" * size)
    for number in range(16):
        error.add_note(f"{number}" + "n" * size)
    return error


def _group(depth: int, width: int, leaf: Exception) -> Exception:
    return leaf if not depth else ExceptionGroup("g", [_group(depth - 1, width, leaf)] * width)


def _size(error: BaseException) -> int:
    return len(codec.encode_inline(encode_error(error))[0])


_LARGE = [_group(3, 6, _noted(60_000)), _group(3, 16, ValueError("small")), _noted(10**6), ValueError("\udce9" * 10**6)]


@pytest.mark.slow
@pytest.mark.parametrize("error", _LARGE, ids=["tree of large ones", "tree of small ones", "notes", "escapes"])
def test_an_error_has_a_limit_in_all(error: Exception) -> None:
    assert _size(error) < 1_200_000
    arrived: Any = travelled(error)
    while isinstance(arrived, ExceptionGroup):
        assert re.search(r"^Exception: [\d,]+ more errors", str(arrived.exceptions[-1])) or len(arrived.exceptions) in (
            6,
            16,
        )
        arrived = arrived.exceptions[0]
    assert isinstance(arrived, ValueError)


def test_an_error_names_causes_that_have_no_room() -> None:
    error: Exception = _noted(60_000)
    for _ in range(8):
        outer = _noted(60_000)
        outer.__cause__ = error
        error = outer
    arrived: Any = travelled(error)
    while arrived.cause is not None:
        arrived = arrived.cause
    assert "its cause is not shown: the error is too large" in arrived.__notes__


def test_a_text_that_is_cut_says_so() -> None:
    error = travelled(raised(ValueError("x" * 100_000 + "the end")))
    assert error.message.startswith("[the end of a longer text] xxx")
    assert error.traceback.startswith("[the end of a longer text] xxx")


def test_notes_that_are_left_out_are_counted() -> None:
    error = ValueError("bad")
    for number in range(20):
        error.add_note(str(number))
    assert travelled(error).__notes__[:2] == ["4 more notes, which are not shown", "4"]
