"""The parts of a build that need no Docker: its Dockerfile, its context and hash, its names, and what errors say."""

import base64
import io
import json
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from aioparcs import BuildError, SettingError, StartError
from aioparcs.build import base_image, image_name, install
from aioparcs.build.dockerfile import bases, module_context, pack_module
from aioparcs.build.transcript import BuildOutput, Transcript
from aioparcs.modules.images import check_request, wheel_folder
from aioparcs.modules.kinds import is_service
from aioparcs.settings import VERSION
from aioparcs.swarm.docker.credentials import build_auth_header, pull_auth_header
from aioparcs.swarm.engine.source import Context, module_files, source_tag

Module = Callable[..., Path]
BASE = "registry:5000/aioparcs/python:1"
SCRIPT = "# /// script\n# dependencies = [{}]\n# ///\n"


@pytest.fixture
def module(tmp_path: Path) -> Module:
    """Write a module of the files given, and return its folder."""

    def make(**files: str) -> Path:
        folder = tmp_path / "factor"
        for name, text in ({"main.py": "print(1)\n"} | files).items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return folder

    return make


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PARCS_REGISTRY", "PARCS_BASE_IMAGE", "PARCS_WHEELS"):
        monkeypatch.delenv(name, raising=False)


def packed(context: Context) -> tuple[str, dict[str, tarfile.TarInfo], dict[str, bytes]]:
    file = io.BytesIO()
    content = context.pack(file).content
    with tarfile.open(fileobj=file) as tar:
        members = {member.name: member for member in tar}
        return content, members, {name: tar.extractfile(m).read() for name, m in members.items() if m.isfile()}  # type: ignore[union-attr]


def sent(folder: Path, wheels: Path | None = None) -> dict[str, bytes]:
    return packed(module_context(folder, BASE, wheels)[0])[2]


# The Dockerfile


def test_a_module_without_requirements_is_copied_onto_its_base(module: Module) -> None:
    folder = module(**{"data/table.txt": "1"})
    files = sent(folder)
    dockerfile = re.sub(r"RUN \[.*\]\n", "RUN ...\n", files["Dockerfile"].decode())
    assert dockerfile == (
        f"FROM {BASE}\nUSER 0\nRUN ...\nCOPY --chown=1000:1000 module/ /parcs/\nWORKDIR /parcs\nUSER 1000:1000\n"
        'CMD ["python", "main.py"]\n'
    )
    assert set(files) == {"Dockerfile", "module/main.py", "module/data/table.txt"}
    assert not (folder / "Dockerfile").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "files, listed",
    [
        ({"requirements.txt": "# for tables\nnumpy >= 1.26 # arrays\nrich\n"}, "numpy >= 1.26\nrich\n"),
        ({"main.py": SCRIPT.format('"rich", "numpy>=1.26"')}, "rich\nnumpy>=1.26\n"),
    ],
)
def test_packages_are_installed_in_a_stage_of_their_own(module: Module, files: dict[str, str], listed: str) -> None:
    made = sent(module(**files))
    first, second = _stages(made["Dockerfile"].decode())
    assert "COPY packages/ /build/packages/" in first
    assert "module/" not in first, "a change of the program would install its packages again"
    assert first.endswith('"/opt/aioparcs", "-r", "/build/packages/requirements.txt"]\n\n')
    assert "COPY --from=packages /opt/aioparcs /opt/aioparcs" in second
    assert made["packages/requirements.txt"].decode() == listed
    assert zipfile.is_zipfile(io.BytesIO(made["packages/pip.zip"]))


def _stages(dockerfile: str) -> list[str]:
    first, second = dockerfile.split("FROM ")[1:]
    return [first, second]


@pytest.mark.slow
@pytest.mark.parametrize(
    "files, requirements",
    [
        ({"requirements.txt": "-r more.txt\n", "more.txt": "rich\n"}, "requirements.txt"),
        ({"requirements.txt": "./here\n", "here/pyproject.toml": ""}, "requirements.txt"),
        ({"main.py": SCRIPT.format('"./here"'), "here/pyproject.toml": ""}, "/build/packages/requirements.txt"),
    ],
)
def test_requirements_that_name_files_are_installed_beside_them(
    module: Module, files: dict[str, str], requirements: str
) -> None:
    first, _ = _stages(sent(module(**files))["Dockerfile"].decode())
    assert "COPY module/ /build/module/\nWORKDIR /build/module\n" in first
    assert f'"-r", "{requirements}"]' in first


@pytest.mark.slow
def test_wheels_come_along_only_where_packages_are_installed(module: Module, tmp_path: Path) -> None:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    (wheels / "a-1-py3-none-any.whl").write_text("wheel")
    (wheels / "notes.txt").write_text("no wheel")
    assert not any("wheels" in name for name in sent(module(), wheels))
    made = sent(module(**{"requirements.txt": "a"}), wheels)
    assert {name for name in made if "wheels" in name} == {"packages/wheels/a-1-py3-none-any.whl"}


@pytest.mark.slow
def test_a_folder_without_wheels_is_an_error(module: Module, tmp_path: Path) -> None:
    (tmp_path / "wheels").mkdir()
    with pytest.raises(BuildError, match="there are no wheels in"):
        module_context(module(**{"requirements.txt": "a"}), BASE, tmp_path / "wheels")


def test_a_dockerfile_of_its_own_is_sent_with_the_folder_as_it_is(module: Module) -> None:
    text = "FROM python:3 AS one\nFROM --platform=linux/amd64 debian@sha256:0 as two\nFROM one\nfrom scratch\n"
    context, found = module_context(module(Dockerfile=text), BASE, None)
    assert set(packed(context)[1]) == {"Dockerfile", "main.py"}
    assert found == ("python:3", "debian@sha256:0")


def test_base_images_that_an_arg_decides_are_left_out() -> None:
    assert list(bases("FROM a\nRUN echo\nFROM $X\nFROM b AS B\nCOPY --from=c / /\nFROM B\n")) == ["a", "b"]


def test_unreadable_metadata_is_an_error(module: Module) -> None:
    with pytest.raises(StartError, match="script metadata"):
        module_context(module(**{"main.py": "# /// script\n# dependencies = [\n# ///\n"}), BASE, None)


def test_requires_python_is_not_checked_by_the_build(module: Module) -> None:
    sent(module(**{"main.py": '# /// script\n# requires-python = ">=4"\n# ///\n'}))


# The context


def test_files_in_dockerignore_and_some_folders_are_left_out(module: Module) -> None:
    ignore = "# comment\n\n*.log\nbig\n!big/kept.txt\n!.git\n**/__pycache__/\n"
    paths = [
        "a.log",
        "big/b",
        "big/kept.txt",
        ".git/HEAD",
        "sub/__pycache__/x.pyc",
        ".venv/bin/python",
        "sub/.git/x",
        "sub/b.log",
    ]
    files = module_files(module(**{".dockerignore": ignore, **dict.fromkeys(paths, "")}))
    assert sorted(files) == [".dockerignore", "big/kept.txt", "main.py", "sub", "sub/b.log"]


def test_a_dockerignore_that_excludes_main_is_an_error(module: Module) -> None:
    with pytest.raises(BuildError, match=r"factor: its \.dockerignore leaves out main\.py"):
        module_context(module(**{".dockerignore": "*.py"}), BASE, None)


def content(folder: Path) -> str:
    return packed(module_context(folder, BASE, None)[0])[0]


def test_the_hash_does_not_depend_on_modification_times(module: Module) -> None:
    folder = module(**{"a.txt": "1"})
    before = content(folder)
    os.utime(folder / "a.txt", (1, 1))
    (folder / ".git").mkdir()
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "main.pyc").write_bytes(b"1")
    assert content(folder) == before


def _grow(folder: Path) -> None:
    (folder / "a.txt").write_text("2")


def _rename(folder: Path) -> None:
    (folder / "a.txt").rename(folder / "b.txt")


def _mark(folder: Path) -> None:
    (folder / "a.txt").chmod(0o755)


def _link(folder: Path) -> None:
    (folder / "link").symlink_to("a.txt")


def _folder(folder: Path) -> None:
    (folder / "empty").mkdir()


@pytest.mark.parametrize("change", [_grow, _rename, _mark, _link, _folder])
def test_the_hash_changes_with(module: Module, change: Callable[[Path], None]) -> None:
    folder = module(**{"a.txt": "1"})
    before = content(folder)
    change(folder)
    assert content(folder) != before


class Edited(io.BytesIO):
    """A tar's file; something in the folder changes just when it has been packed."""

    def __init__(self, edit: Callable[[], object]) -> None:
        super().__init__()
        self._edit = edit

    def seek(self, *where: int) -> int:
        self._edit()
        return super().seek(*where)


@pytest.mark.parametrize("files", [{}, {"Dockerfile": "FROM scratch", ".dockerignore": ".dockerignore"}])
def test_the_tag_of_the_source_is_that_of_what_was_packed(module: Module, files: dict[str, str]) -> None:
    folder = module(**files)
    before = source_tag(folder)
    packed, _ = pack_module(folder, BASE, None, Edited(lambda: (folder / "main.py").write_text("print(2)\n")))
    assert packed.tag == before != source_tag(folder)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["requirements.txt", "Dockerfile"])
def test_a_build_is_refused_if_what_it_installs_changes_while_it_is_packed(module: Module, name: str) -> None:
    folder = module(**{name: "FROM one"})
    with pytest.raises(BuildError, match="what it requires changed while it was packed; build it again"):
        pack_module(folder, BASE, None, Edited(lambda: (folder / name).write_text("FROM two")))


def test_links_stay_links_and_sockets_stay_out(module: Module) -> None:
    folder = module()
    for name, target in {"link": "main.py", "self": "self", "nowhere": "../nowhere", "up": "."}.items():
        (folder / name).symlink_to(target)
    os.mkfifo(folder / "pipe")
    _, members, _ = packed(module_context(folder, BASE, None)[0])
    links = {name: member.linkname for name, member in members.items() if member.issym()}
    assert links == {
        "module/link": "main.py", "module/self": "self", "module/nowhere": "../nowhere", "module/up": ".",
    }  # fmt: skip
    assert "module/pipe" not in members


def test_a_link_out_of_the_folder_is_replaced_by_its_target(module: Module, tmp_path: Path) -> None:
    for name in ("__init__.py", "sub/deep.py", "sub/__pycache__/x.pyc", "secret.key"):
        (tmp_path / "common" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "common" / name).write_text(name)
    (tmp_path / "common" / "again").symlink_to("__init__.py")
    (tmp_path / "common" / "table.txt").symlink_to(tmp_path / "table.txt")
    (tmp_path / "table.txt").write_text("1")
    folder = module(**{".dockerignore": "common/*.key\n"})
    (folder / "common").symlink_to("../common")
    (folder / "table.txt").symlink_to("../table.txt")
    (folder / "own").symlink_to(folder / "main.py")  # an absolute one would lead nowhere in the image
    _, members, files = packed(module_context(folder, BASE, None)[0])
    assert {name.removeprefix("module/") for name in members} - {"Dockerfile"} == {
        ".dockerignore", "main.py", "own", "table.txt", "common", "common/__init__.py", "common/again",
        "common/sub", "common/sub/deep.py", "common/table.txt",
    }  # fmt: skip
    assert (files["module/table.txt"], files["module/common/table.txt"], files["module/own"]) == (
        b"1",
        b"1",
        b"print(1)\n",
    )
    assert members["module/common/again"].linkname == "__init__.py"
    before = content(folder)
    (tmp_path / "common" / "sub" / "deep.py").write_text("another")
    assert content(folder) != before


@pytest.mark.parametrize("target", ["..", "../factor", "../beside"])
def test_a_link_to_a_folder_that_it_is_in_is_refused(module: Module, tmp_path: Path, target: str) -> None:
    folder = module()
    (tmp_path / "beside").mkdir()
    (tmp_path / "beside" / "back").symlink_to("../factor")
    (folder / "loop").symlink_to(target if target != "../factor" else folder)
    with pytest.raises(OSError, match=r"the link loop(/back)? leads to \S+, a folder that it is in; name it in"):
        module_files(folder)
    (folder / ".dockerignore").write_text("loop\n")
    assert set(module_files(folder)) == {".dockerignore", "main.py"}


def test_a_dockerignore_may_have_a_byte_order_mark_and_ignore_itself(module: Module) -> None:
    folder = module(**{"data/big": ""})
    (folder / ".dockerignore").write_text("data\n", encoding="utf-8-sig")
    assert set(module_files(folder)) == {".dockerignore", "main.py"}
    (folder / ".dockerignore").write_text("data\n.docker*\n", encoding="utf-8-sig")
    assert set(module_files(folder)) == {"main.py"}
    (folder / "Dockerfile").write_text("FROM base\n", encoding="utf-8-sig")
    context, found = module_context(folder, BASE, None)
    assert set(packed(context)[1]) == {".dockerignore", "Dockerfile", "main.py"}  # Docker itself leaves out the first
    assert found == ("base",)


# Names


def test_names_come_from_arguments_then_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (image_name("Factor"), base_image()) == ("factor", f"aioparcs/python:{VERSION}")
    monkeypatch.setenv("PARCS_REGISTRY", "10.0.0.1:5000/")
    assert (image_name("factor"), base_image()) == ("10.0.0.1:5000/factor", f"10.0.0.1:5000/aioparcs/python:{VERSION}")
    assert image_name("factor", "other/team") == "other/team/factor"
    assert base_image(service=True) == f"10.0.0.1:5000/aioparcs/python:{VERSION}-worker"
    monkeypatch.setenv("PARCS_BASE_IMAGE", "mine")
    assert (base_image(), base_image(base="its"), base_image(service=True)) == ("mine", "its", "mine")


def test_only_a_module_that_is_no_program_is_built_on_the_image_of_workers(module: Module) -> None:
    for text, expected in (
        ("from aioparcs import serve\nserve(f)\n", True),
        ("import aioparcs\nif True:\n    aioparcs.serve(f)\n", True),
        ("from aioparcs import run, serve\nserve(f)\nrun(main)\n", False),
        ("from aioparcs import run\nrun(main)\n", False),
        ("print('serve(f)')\n", False),
    ):
        assert is_service(module(**{"main.py": text})) is expected, text
    assert not is_service(Path("nowhere"))


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"module": "my module"}, "no image can be called 'my module'"),
        ({"registry": "http://a:5000"}, "registry 'http://a:5000': leave out http://"),
        ({"push": True}, "pushing needs a registry: --registry HOST:PORT, or PARCS_REGISTRY"),
        ({"tag": "a:b"}, "'a:b' is not a tag"),
    ],
)
def test_invalid_build_options_are_errors(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        check_request(**{"module": "factor", "registry": None, "push": False, "tag": None} | arguments)


def test_a_missing_folder_of_wheels_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    assert wheel_folder(None) is None
    monkeypatch.setenv("PARCS_WHEELS", "/not/there")
    with pytest.raises(SettingError, match="there is no folder of wheels '/not/there'"):
        wheel_folder(None)


# Credentials


def decoded(header: str) -> Any:
    return json.loads(base64.urlsafe_b64decode(header))


def test_credentials_are_those_of_dockers_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    login = base64.b64encode(b"ada:p?>~word").decode()
    (tmp_path / "config.json").write_text(json.dumps({"auths": {"10.0.0.1:5000": {"auth": login}}}))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    known = decoded(pull_auth_header("10.0.0.1:5000/factor:1")["X-Registry-Auth"])
    assert (known["username"], known["password"], known["serveraddress"]) == ("ada", "p?>~word", "10.0.0.1:5000")
    assert decoded(pull_auth_header("10.0.0.2:5000/factor:1")["X-Registry-Auth"]) == {}
    assert decoded(build_auth_header()["X-Registry-Config"]) == {"10.0.0.1:5000": known}


def test_without_a_configuration_there_are_no_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert decoded(pull_auth_header("factor")["X-Registry-Auth"]) == {}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:docker-credential-nowhere")
def test_an_absent_credential_helper_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.json").write_text('{"credsStore": "nowhere"}')
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    with pytest.raises(SettingError, match="docker-credential-nowhere"):
        pull_auth_header("10.0.0.1:5000/factor")


# What Docker tells


class Shown(BuildOutput):
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.states: list[str] = []

    def line(self, text: str) -> None:
        self.lines.append(text)

    def state(self, text: str) -> None:
        self.states.append(text)


def follow(
    messages: Iterable[dict[str, Any]], image: str = "r:5000/factor:1"
) -> tuple[Transcript, list[str], list[str]]:
    shown = Shown()
    transcript = Transcript("factor", image, shown)
    for message in messages:
        transcript.take(message)
    return transcript, shown.lines, shown.states


def test_a_build_is_shown_line_by_line_and_step_by_step() -> None:
    words = ["Step 1/2 : FROM a\n", " ---> 1\n", "Step 2/2 : RUN b\n", "\x1b[91mwarn", "ing\n\x1b[0m", "10%\r20%\n"]
    transcript, lines, states = follow([*({"stream": word} for word in words), {"aux": {"ID": "sha256:1"}}])
    assert lines == ["Step 1/2 : FROM a", " ---> 1", "Step 2/2 : RUN b", "warning", "20%"]
    assert states == ["step 1/2: FROM a", "step 2/2: RUN b"]
    assert transcript.result == {"ID": "sha256:1"}


def test_the_images_of_steps_are_recorded_to_be_removed_after_a_cancelled_build() -> None:
    base, cached, made = "0" * 12, "1" * 12, "2" * 12
    words = [
        f"Step 1/3 : FROM a\n ---> {base}\n",
        f"Step 2/3 : RUN b\n ---> Using cache\n ---> {cached}\n",
        f"Step 3/3 : COPY c d\n ---> {made}\n",
    ]
    assert follow({"stream": word} for word in words)[0].made == [made]


def test_a_failing_step_raises_with_its_last_lines() -> None:
    output = [
        " ---> Running in 1\n",
        *(f"line {n}\n" for n in range(30)),
        "no end",
        "\nRemoving intermediate container 1\n",
    ]
    error = {"message": "The command '/bin/sh -c b' returned a non-zero code: 7", "code": 7}
    with pytest.raises(BuildError) as caught:
        follow(
            [{"stream": "Step 2/2 : RUN b\n"}, *({"stream": s} for s in output), {"errorDetail": error, "error": ""}]
        )
    assert str(caught.value).startswith("factor (image r:5000/factor:1): step 2/2 `RUN b` ended with exit code 7;")
    assert caught.value.last_lines == (*(f"line {n}" for n in range(11, 30)), "no end")


@pytest.mark.parametrize(
    "message, advice",
    [
        ("denied: requested access to the resource is denied", "; docker login r:5000"),
        ("no basic auth credentials", "; docker login r:5000"),
        ("http: server gave HTTP response to HTTPS client", '"insecure-registries": ["r:5000"]'),
        ("dial tcp 10.0.0.1:5000: connect: connection refused", "is the registry r:5000 running"),
        ("disk full", "disk full"),
    ],
)
def test_a_failing_push_says_what_to_do(message: str, advice: str) -> None:
    with pytest.raises(BuildError, match=r"^factor \(image r:5000/factor:1\): ") as caught:
        follow([{"status": "The push refers to repository [r:5000/factor]"}, {"errorDetail": {"message": message}}])
    assert str(caught.value).endswith(advice) or advice in str(caught.value)


def test_a_push_is_summed_up_in_one_state() -> None:
    mib = 1 << 20
    _, lines, states = follow(
        [
            {"status": "Preparing", "id": "a", "progressDetail": {}},
            {"status": "Layer already exists", "id": "b", "progressDetail": {}},
            {"status": "Pushing", "id": "a", "progressDetail": {"current": 3 * mib, "total": 12 * mib}},
            {"status": "Pushing", "id": "a", "progressDetail": {"current": 6 * mib, "total": 12 * mib}},
            {"status": "Pushed", "id": "a", "progressDetail": {}},
        ]
    )
    assert lines == ["a: Preparing", "b: Layer already exists", "a: Pushing", "a: Pushed"]
    assert states[-3:-1] == ["pushing: 1 of 2 layers, 3 of 12 MiB", "pushing: 1 of 2 layers, 6 of 12 MiB"]
    assert states[-1].startswith("pushing: 2 of 2 layers")


# What installs packages inside the build


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel of a package that no index has, and return its folder."""
    folder = tmp_path_factory.mktemp("wheels")
    name, info = "parcelle-1.0-py3-none-any.whl", "parcelle-1.0.dist-info"
    with zipfile.ZipFile(folder / name, "w") as wheel:
        wheel.writestr("parcelle.py", "def main() -> None:\n    print('parcelle is here')\n")
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: parcelle\nVersion: 1.0\n")
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/entry_points.txt", "[console_scripts]\nparcelle = parcelle:main\n")
        wheel.writestr(f"{info}/RECORD", "")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("pip_there", [True, False])
def test_packages_are_installed_with_the_images_pip_or_the_one_in_the_context(
    module: Module, wheels: Path, tmp_path: Path, pip_there: bool
) -> None:
    python = Path(sys.executable)
    if not pip_there:
        subprocess.run([python, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
        python = tmp_path / "bare" / "bin" / "python"
    for name, data in sent(module(**{"requirements.txt": "parcelle"}), wheels).items():
        path = tmp_path / "build" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    packages, target = tmp_path / "build" / "packages", tmp_path / "opt"
    command: list[str | Path] = [python, packages / Path(install.__file__).name, target]
    command += ["-r", packages / "requirements.txt"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    script = subprocess.run([python, target / "bin" / "parcelle"], env={"PYTHONPATH": str(target / "packages")},
                            capture_output=True, text=True)  # fmt: skip
    assert script.stdout == "parcelle is here\n", script.stderr
    assert {path.name for path in target.iterdir()} == {"bin", "packages"}
