"""The end of an executor: shutdown, the interpreter's exit, Ctrl-C, forks."""

import signal
import threading
from concurrent import futures
from pathlib import Path

import psutil
import pytest

from aioparcs import BrokenPool, Executor
from tests.executor.conftest import CRUNCH
from tests.executor.test_executor import wait_for_file
from tests.support.jobs import execute, family, left, program

pytestmark = pytest.mark.slow

MAKE = f"from aioparcs import Executor\nexecutor = Executor(2, module={str(CRUNCH)!r})\n"


def test_an_executor_that_is_shut_down_takes_no_calls(executor: Executor) -> None:
    assert executor.submit("square", 2).result() == 4
    executor.shutdown()
    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        executor.submit("square", 2)
    executor.shutdown()


def test_an_executor_that_was_not_used_starts_nothing(executor: Executor) -> None:
    threads = threading.active_count()
    assert not family()
    executor.shutdown()
    assert threading.active_count() == threads
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.submit("square", 2)


def test_shutdown_waits_for_the_calls_that_were_submitted(executor: Executor) -> None:
    calls = [executor.submit("sleep", 0.01) for _ in range(20)]
    executor.shutdown()
    assert all(call.result() == 0.01 for call in calls)
    assert not family()


def test_shutdown_need_not_wait(executor: Executor, tmp_path: Path) -> None:
    call = executor.submit("wait_for", str(tmp_path / "go"))
    executor.shutdown(wait=False)
    assert not call.done()
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.submit("square", 2)
    (tmp_path / "go").touch()
    assert call.result() == str(tmp_path / "go")


def test_shutdown_may_cancel_what_no_worker_has(tmp_path: Path) -> None:
    executor = Executor(2, module=CRUNCH)
    calls = [executor.submit("mark_and_wait_for", str(tmp_path / "begun"), str(tmp_path / "go")) for _ in range(50)]
    wait_for_file(tmp_path / "begun")
    executor.shutdown(wait=False, cancel_futures=True)
    done, _ = futures.wait(calls, return_when=futures.FIRST_COMPLETED)
    assert all(call.cancelled() for call in done)
    (tmp_path / "go").touch()
    executor.shutdown()
    cancelled = [call for call in calls if call.cancelled()]
    assert len(cancelled) >= 40
    assert all(call.done() for call in calls)
    assert all(call.exception() is None for call in calls if not call.cancelled())


def test_a_call_that_is_cancelled_right_before_shutdown_does_not_hold_it_up() -> None:
    executor = Executor(1, module=CRUNCH)
    executor.submit("square", 2).result()
    executor.submit("square", 3).cancel()
    executor.shutdown()


def test_killed_workers_fail_their_calls(tmp_path: Path) -> None:
    executor = Executor(1, module=CRUNCH)
    calls = [executor.submit("mark_and_wait_for", str(tmp_path / "begun"), "/nothing") for _ in range(20)]
    wait_for_file(tmp_path / "begun")
    executor.kill_workers()
    with pytest.raises(BrokenPool, match=r"^its worker was killed by kill_workers\(\)$"):
        calls[0].result()
    executor.shutdown()
    assert not family()
    assert calls[-1].cancelled()
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.submit("square", 2)


def test_workers_can_be_killed_before_they_are_there() -> None:
    executor = Executor(2, module=CRUNCH)
    call = executor.submit("square", 2)
    executor.kill_workers()
    executor.shutdown()
    assert call.done()
    assert not family()


def test_an_executor_that_is_no_longer_referenced_makes_its_calls_and_ends() -> None:
    executor = Executor(2, module=CRUNCH)
    results = executor.map("square", range(10))
    thread = executor._thread
    assert thread
    del executor
    assert list(results) == [n * n for n in range(10)]
    thread.join()
    assert not family()


def test_an_exception_in_the_block_waits_as_the_standard_library_does() -> None:
    calls = []

    def work() -> None:
        with Executor(1, module=CRUNCH) as executor:
            calls.append(executor.submit("sleep", 0.1))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()
    assert calls[0].result() == 0.1


# The interpreter's exit


def test_an_exit_makes_the_calls_that_were_submitted() -> None:
    done = execute(MAKE + "executor.submit('sleep', 0.3).add_done_callback(lambda call: print(call.result()))")
    assert (done.stdout, done.stderr, done.returncode) == ("0.3\n", "", 0)


def test_an_exit_after_shutdown_without_waiting_makes_them_too() -> None:
    text = "executor.submit('sleep', 0.3).add_done_callback(lambda call: print(call.result()))\n"
    done = execute(MAKE + text + "executor.shutdown(wait=False)")
    assert (done.stdout, done.stderr, done.returncode) == ("0.3\n", "", 0)


def test_a_call_during_the_exit_is_refused() -> None:
    text = "import atexit\n@atexit.register\ndef last():\n    try: executor.submit('square', 2)\n"
    text += "    except RuntimeError as error: print(error)\n"
    for use in ("", "executor.submit('square', 2).result()"):
        done = execute(MAKE + text + use)
        assert done.stdout == "cannot schedule new futures after interpreter shutdown\n", done.stderr


def test_an_exit_with_an_exception_leaves_no_process() -> None:
    text = "print(executor.submit('pid').result(), flush=True)\nraise SystemExit(3)"
    done = execute(MAKE + text)
    assert done.returncode == 3
    assert done.stderr == ""
    assert not psutil.pid_exists(int(done.stdout))


def test_ctrl_c_ends_a_program_that_waits_in_the_block(tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    text = f"{MAKE}with executor:\n    executor.submit('mark_and_wait_for', {str(begun)!r}, '/nothing').result()"
    _interrupt(text, begun)


def test_ctrl_c_ends_a_program_without_a_block(tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    _interrupt(f"{MAKE}executor.submit('mark_and_wait_for', {str(begun)!r}, '/nothing').result()", begun)


def test_ctrl_c_ends_the_wait_at_the_end_of_the_block(tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    _interrupt(f"{MAKE}with executor:\n    executor.submit('mark_and_wait_for', {str(begun)!r}, '/nothing')", begun)


def test_the_call_that_ctrl_c_has_ended_says_so() -> None:
    text = f"{MAKE}from aioparcs import BrokenPool\ntry:\n    with executor:\n"
    text += "        executor.submit('square', 2).result()\n        call = executor.submit('wait_for', '/nothing')\n"
    text += "        while not call.running(): pass\n        raise KeyboardInterrupt\n"
    text += "except KeyboardInterrupt:\n    print(call.exception())"
    with program(text) as process:
        output, errors = process.communicate(timeout=60)
    assert output == "its worker was killed after Ctrl-C (KeyboardInterrupt)\n", errors


def test_ctrl_c_ends_the_wait_at_the_exit(tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    _interrupt(f"{MAKE}executor.submit('mark_and_wait_for', {str(begun)!r}, '/nothing')", begun)


def _interrupt(text: str, begun: Path) -> None:
    with program(text) as process:
        wait_for_file(begun)
        workers = family(process.pid)
        assert workers
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        assert "KeyboardInterrupt" in errors
        assert not left(workers)


def test_a_program_that_is_killed_leaves_no_process(tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    with program(f"{MAKE}executor.submit('mark_and_wait_for', {str(begun)!r}, '/nothing')") as process:
        wait_for_file(begun)
        workers = family(process.pid)
        process.kill()
        process.communicate(timeout=60)
        assert not left(workers)


# Forks


def test_a_fork_has_no_executor_of_its_parent() -> None:
    text = """
import os, sys
assert executor.submit('square', 2).result() == 4
pid = os.fork()
if not pid:
    try:
        executor.submit('square', 2)
    except RuntimeError as error:
        print(error)
    executor.shutdown()
    sys.exit(5)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), executor.submit('square', 3).result())
"""
    done = execute(MAKE + text)
    assert "which has forked this one: create another Executor here" in done.stdout, done.stderr
    assert done.stdout.endswith("\n5 9\n"), done.stderr


def test_a_fork_may_use_an_executor_that_its_parent_has_not_used() -> None:
    text = """
import os
pid = os.fork()
print(executor.submit('square', 3).result(), flush=True)
if pid:
    os.waitpid(pid, 0)
"""
    done = execute(MAKE + text)
    assert (done.stdout, done.stderr) == ("9\n9\n", "")


def test_a_child_of_multiprocessing_may_have_an_executor(tmp_path: Path) -> None:
    main = tmp_path / "program.py"
    text = "import multiprocessing\n" + MAKE
    text += "def work():\n    with executor: print(executor.submit('square', 3).result(), flush=True)\n"
    text += "if __name__ == '__main__':\n    for way in ('spawn', 'fork'):\n"
    text += "        process = multiprocessing.get_context(way).Process(target=work)\n"
    text += "        process.start()\n        process.join()\n        assert process.exitcode == 0\n"
    main.write_text(text)
    done = execute(main)
    assert (done.stdout, done.stderr) == ("9\n9\n", "")
