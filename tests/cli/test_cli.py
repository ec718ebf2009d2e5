"""The command line as its users have it: real processes, pipes and signals."""

import re
import secrets
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import aioparcs
from tests.support.command import COMMAND, ENVIRONMENT, EXAMPLES, TIMEOUT, execute, run
from tests.support.leaks import SESSION, descendants

pytestmark = pytest.mark.slow

Project = Callable[..., Path]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Write a module's main.py, and return its folder."""

    def make(text: str, folder: str = "runner") -> Path:
        made = tmp_path / folder
        made.mkdir(parents=True)
        (made / "main.py").write_text(text)
        return made

    return make


# Help and bad usage


def test_help_names_commands_examples_and_exit_codes() -> None:
    done = run("--help")
    assert done.returncode == 0
    for text in ("run", "new", "completion", "aioparcs run hello", "130  ended by Ctrl-C", "143", "--version"):
        assert text in done.stdout


@pytest.mark.parametrize("command", ["run", "new", "completion", "ps", "logs", "fetch", "rm", "doctor"])
def test_each_command_has_help_with_an_example(command: str) -> None:
    done = run(command, "-h")
    assert done.returncode == 0
    assert f"aioparcs {command}" in done.stdout


def test_version() -> None:
    assert run("--version").stdout == f"aioparcs {aioparcs.__version__}\n"


RUNNERS = "discrete_logarithm, factorisation, matrix, pi, runner, tree, word_count"


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["nowhere"], f"there is no module 'nowhere' in examples; found there: {RUNNERS}"),
        (["Runer"], "there is no module 'Runer' in examples; did you mean runner?"),
        (
            ["factors"],
            "there is no module 'factors' in examples; factor is a service, which a runner starts; "
            f"found there: {RUNNERS}",
        ),
        (
            ["runner", "N=1", "P=2"],
            "the runner's own arguments come after --, and variables after -e (N=1 P=2): "
            "set variables by -e N=1 -e P=2",
        ),
        (
            ["runner", "90"],
            "the runner's own arguments come after --, and variables after -e (90): write -- 90",
        ),
        (
            ["runner", "3 km"],
            "the runner's own arguments come after --, and variables after -e ('3 km'): write -- '3 km'",
        ),
        (["runner", "-e", "N"], "-e 'N' is not NAME=VALUE"),
        (["runner", "-e", "=1"], "-e '=1' is not NAME=VALUE"),
        (["runner", "-q", "-v"], "use either -q or -v, not both"),
        (["./nowhere"], "there is no folder ./nowhere"),
        (["x" * 256], f"there is no module '{'x' * 256}' in examples; found there: {RUNNERS}"),
        (["./" + "x" * 256], "there is no folder ./" + "x" * 256),
        (["./aioparcs"], "./aioparcs is not a module: it has no main.py"),
        (
            ["docs/picture.py"],
            "docs/picture.py is a script; a module is a folder with a main.py: run it with python docs/picture.py",
        ),
    ],
)
def test_bad_usage_of_run_is_one_line_and_exit_2(arguments: list[str], message: str) -> None:
    done = run("run", "--modules", "examples", *arguments, cwd=EXAMPLES.parent)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"error: {message}\n")


def test_a_folder_without_modules_says_what_a_module_is(tmp_path: Path) -> None:
    done = run("run", "runner", "--modules", tmp_path)
    assert done.returncode == 2
    assert "a module is a folder with a main.py" in done.stderr


@pytest.mark.parametrize(
    "arguments", [["run"], ["nothing"], ["run", "x", "--modules", "not/there"], ["completion", "x"]]
)
def test_invalid_command_lines_are_exit_2(arguments: list[str]) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert "error: " in done.stderr


# Completion


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_the_script_of_a_shell(shell: str) -> None:
    done = run("completion", shell)
    assert done.returncode == 0
    assert "_AIOPARCS_COMPLETE" in done.stdout


def test_completion_knows_the_modules() -> None:
    code = "from aioparcs.cli import main; main(prog_name='aioparcs')"
    programs = ["discrete_logarithm", "factorisation", "matrix", "pi", "runner", "tree", "word_count"]
    for command, modules in (("build", [*programs, "echo", "factor", "sleeper"]), ("run", programs)):
        offered = "".join(f"plain,{name}\n" for name in sorted(modules))
        words = {"COMP_WORDS": f"aioparcs {command} --modules examples", "COMP_CWORD": "4"}
        done = execute([sys.executable, "-c", code], EXAMPLES.parent, _AIOPARCS_COMPLETE="bash_complete", **words)
        assert done.stdout == offered


# new


def test_new_makes_a_project_that_runs_with_the_command_it_prints(tmp_path: Path) -> None:
    made = run("new", "my project", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    command = shlex.split(made.stdout.splitlines()[-1])
    assert command == [*COMMAND, "run", "my project"]

    done = execute(command, tmp_path)
    assert (done.returncode, done.stdout) == (0, "17984 primes below 200000\n"), done.stderr
    assert (tmp_path / "my project" / "README.md").read_text().startswith("# my project\n")


def test_new_overwrites_no_file(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    done = run("new", "mine", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: mine already exists; choose another name\n"
    assert (tmp_path / "mine").read_text() == "precious"


@pytest.mark.parametrize("name", ["", " ", "\n", "bell\a", "blank ", "aioparcs", "new/aioparcs"])
def test_new_refuses_invalid_project_names(tmp_path: Path, name: str) -> None:
    done = run("new", name, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {name!r} can't be a project's name: ")
    assert list(tmp_path.iterdir()) == []


# The runner's program runs as python would run it


def test_arguments_behind_two_dashes_are_the_programs_whatever_they_look_like(project: Project) -> None:
    text = (
        "import os, sys\nfrom aioparcs import run\n"
        "async def main(runner): print(sys.argv[1:], os.environ['N'])\nrun(main)"
    )
    theirs = ("--verbose", "x", "-e", "N=2", "--", "", "--help", "-q")
    done = run("run", project(text), "-e", "N=1", "--", *theirs)
    assert (done.returncode, done.stdout) == (0, f"{list(theirs)} 1\n"), done.stderr


def test_workers_of_the_programs_own_functions_have_its_arguments(project: Project) -> None:
    text = (
        "import sys\nfrom aioparcs import run\ndef f(n): return sys.argv[n]\n"
        "async def main(runner):\n    async with runner.pool(f, 1) as pool: print(await pool.map([1, 2]))\nrun(main)"
    )
    done = run("run", project(text), "--", "--scale", "3")
    assert (done.returncode, done.stdout) == (0, "['--scale', '3']\n"), done.stderr


def test_main_has_the_globals_and_arguments_of_a_python_script(project: Project) -> None:
    folder = project("import sys; print(__name__, __file__, sys.argv, sys.path[0], sep='|'); sys.exit()")
    done = run("run", folder)
    main = str(folder / "main.py")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"__main__|{main}|{[main]}|{folder}\n"


def test_variables_and_modules_reach_the_runner(project: Project) -> None:
    folder = project(
        "import os; print(os.environ['A'], os.environ['B'], os.environ['PARCS_MODULES']); raise SystemExit"
    )
    done = run("run", "runner", "--modules", folder.parent, "-e", "A=1=2", "-e", "B=", A="0")
    assert done.stdout == f"1=2  {folder.parent}\n"


@pytest.mark.parametrize(
    "text, code, stderr",
    [
        ("import sys; sys.exit(7)", 7, ""),
        ("import sys; sys.exit('what is wrong')", 1, "what is wrong\n"),
        ("import sys; sys.exit()", 0, ""),
        ("raise KeyboardInterrupt", 130, ""),
    ],
)
def test_exit_codes_of_a_main_that_starts_nothing(project: Project, text: str, code: int, stderr: str) -> None:
    done = run("run", project(text))
    assert (done.returncode, done.stderr) == (code, stderr)


def test_an_exception_at_the_top_level_shows_the_users_frames_only(project: Project) -> None:
    folder = project("def f():\n    return 1 / 0\n\nf()\n")
    done = run("run", folder)
    assert done.returncode == 1
    files = re.findall(r'File "(.*)", line (\d+)', done.stderr)
    assert files == [(str(folder / "main.py"), "4"), (str(folder / "main.py"), "2")]
    assert done.stderr.endswith("ZeroDivisionError: division by zero\n")


def test_a_file_that_is_beside_main_but_not_in_the_current_folder_is_pointed_out(project: Project) -> None:
    folder = project("from aioparcs import run\nasync def main(runner): open('data.txt')\nrun(main)\n")
    (folder / "data.txt").touch()
    hint = f"{folder}/data.txt is there, but the current folder is {folder.parent}: Path(__file__).parent / 'data.txt' "
    done = run("run", "runner", cwd=folder.parent)
    assert done.returncode == 1
    assert done.stderr.endswith(f"'data.txt'\n{hint}finds it from anywhere\n")
    assert run("run", ".", cwd=folder).returncode == 0
    (folder / "data.txt").unlink()
    assert run("run", "runner", cwd=folder.parent).stderr.endswith("No such file or directory: 'data.txt'\n")


def test_a_folder_named_aioparcs_does_not_hide_the_package(tmp_path: Path) -> None:
    (tmp_path / "aioparcs" / "aioparcs").mkdir(parents=True)  # as above a clone
    done = execute([sys.executable, "-c", "from aioparcs import Runner, serve"], tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_main_that_runs_nothing_is_an_error(project: Project) -> None:
    done = run("run", project("from aioparcs import run\nasync def main(runner): print('called')\n"))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: runner/main.py ran nothing: its last line should be run(main)\n"


def test_a_main_may_do_without_run(project: Project) -> None:
    text = "import asyncio\nfrom aioparcs import Runner\nasync def main():\n    async with Runner(): print('called')\n"
    done = run("run", project(f"{text}asyncio.run(main())\n"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "called\n", "")


def test_a_traceback_that_a_worker_has_printed_is_not_printed_again(project: Project) -> None:
    service = "from aioparcs import Service, serve\nclass Failing(Service):\n    async def run(self):\n"
    project(f"{service}        raise ValueError('no')\nserve(Failing)\n", "failing")
    main = (
        "from aioparcs import run\nasync def main(runner):\n    t = await runner.start('failing')\n    await t.recv()\n"
    )
    done = run("run", project(f"{main}run(main)\n"))
    assert done.returncode == 1
    assert done.stderr.count("Traceback") == done.stderr.count("raise ValueError") == 1, done.stderr
    assert "ValueError in worker failing:0: no" in done.stderr


def test_a_main_that_cannot_be_compiled(project: Project) -> None:
    done = run("run", project("def ("))
    assert done.returncode == 1
    assert "SyntaxError" in done.stderr
    assert "runpy" not in done.stderr


def test_an_exception_in_the_runners_coroutine_is_exit_1(project: Project) -> None:
    done = run(
        "run", project("from aioparcs import run\nasync def main(runner):\n    raise ValueError('no')\nrun(main)")
    )
    assert done.returncode == 1
    assert done.stderr.count("ValueError: no") == 1


# Signals


SLEEPING = """
import asyncio, time
from aioparcs import Runner, run

async def main(runner: Runner) -> None:
    async with runner.start_many("sleeper", 3) as tasks:
        await asyncio.gather(*(task.send(600) for task in tasks))
        print("asleep", flush=True)
        await tasks[0].recv()

run(main)
"""


@contextmanager
def running(folder: Path) -> Iterator["tuple[subprocess.Popen[str], str]"]:
    session = secrets.token_hex(8)
    with subprocess.Popen(
        [*COMMAND, "run", folder, "--modules", EXAMPLES],
        env=ENVIRONMENT | {SESSION: session},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "asleep\n"
            yield process, session
        finally:
            process.kill()


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_everything(project: Project, number: signal.Signals, code: int) -> None:
    with running(project(SLEEPING)) as (process, session):
        process.send_signal(number)
        _, stderr = process.communicate(timeout=TIMEOUT)
        assert process.returncode == code, stderr
        assert "Traceback" not in stderr
        assert descendants(session, timeout=0) == []


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_before_run_is_called(project: Project, number: signal.Signals, code: int) -> None:
    with running(project("import time; print('asleep', flush=True); time.sleep(600)")) as (process, _):
        process.send_signal(number)
        process.communicate(timeout=TIMEOUT)
        assert process.returncode == code


# Parts


@pytest.mark.fresh
def test_the_package_does_not_load_the_command_lines_libraries() -> None:
    code = "import sys, aioparcs; print({'click', 'rich', 'docker', 'aiohttp', 'aiodocker'} & set(sys.modules))"
    done = execute([sys.executable, "-c", code])
    assert (done.stdout, done.stderr) == ("set()\n", "")


@pytest.mark.fresh
def test_commands_about_a_cluster_do_not_load_the_docker_package() -> None:
    code = "import sys, aioparcs.swarm.jobs, aioparcs.cli.submit, aioparcs.build; print('docker' in sys.modules)"
    done = execute([sys.executable, "-c", code])
    assert (done.stdout, done.stderr) == ("False\n", "")
