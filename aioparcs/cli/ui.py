"""The page of jobs: ``aioparcs ui``."""

from __future__ import annotations

import asyncio
import fcntl
import os
import secrets
import sys
import webbrowser
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path
from urllib.parse import quote

import click

from aioparcs.cli.command import reported, run_command
from aioparcs.cli.modules import Usage
from aioparcs.recording.store import is_running, store_folder
from aioparcs.transport import os_reason
from aioparcs.web.announcement import announced, last_token, running_server
from aioparcs.web.http.listening import PORT, Listening, listen

__all__ = ["ui"]

_OPENED = "open-*.html"  # the names of files that lead a browser to the page
_SHORTEST = 20  # characters of a token that can't be guessed
_EXAMPLES = """
\b
Examples:
  aioparcs ui                          show the jobs of this user, on this machine alone
  aioparcs ui --control                ... and allow to stop them and to kill their workers
  ssh -L 8787:127.0.0.1:8787 HOST      reach it from elsewhere, then open the address that it has printed
  aioparcs ui --host jobs.example.org --tls-cert cert.pem --tls-key key.pem
\b
Exit codes:
    0  the job that it was started for has ended
    2  the command line is wrong, or the port is taken
  130  ended by Ctrl-C
  143  ended by SIGTERM
"""


@click.command(short_help="Show jobs live on a web page.", epilog=_EXAMPLES)
@click.option("--port", type=click.IntRange(0, 65535), help=f"Its port.  [default: {PORT}, or the next free one]")
@click.option("--host", "hosts", metavar="HOST", multiple=True,
              help="An address to listen on, or a name by which it is asked; may be repeated.  "
                   "[default: 127.0.0.1]")  # fmt: skip
@click.option("--control", is_flag=True, help="Allow to stop jobs, to kill workers, and to resize pools.")
@click.option("--open", "is_opened", is_flag=True, help="Open the page in a browser.")
@click.option("--tls-cert", "cert", metavar="FILE", type=click.Path(dir_okay=False, exists=True, path_type=Path),
              help="A certificate, for HTTPS.")  # fmt: skip
@click.option("--tls-key", "key", metavar="FILE", type=click.Path(dir_okay=False, exists=True, path_type=Path),
              help="Its private key.")  # fmt: skip
@click.option("--insecure", is_flag=True, help="Allow other machines to ask without TLS: what they send can be read.")
@click.option("--metrics-token", "metrics_file", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path),
              help="A file with a token for /metrics alone; it is made if it isn't there.")  # fmt: skip
@click.option("--beside", metavar="JOB", hidden=True)
@click.option("--unkept", is_flag=True, hidden=True)
def ui(
    port: int | None, hosts: tuple[str, ...], control: bool, is_opened: bool, cert: Path | None, key: Path | None,
    insecure: bool, metrics_file: Path | None, beside: str | None, unkept: bool,
) -> None:  # fmt: skip
    """Show the jobs of this user live on a web page: those that run, and the last ones that have ended.

    The address that it prints has a token, without which it shows nothing. It ends by Ctrl-C.
    """
    if beside and (address := running_server()):
        click.echo(_address(address, beside))
        return
    with reported():
        if key and not cert:
            raise Usage("--tls-key needs --tls-cert")
        metrics_token = _metrics_token(metrics_file) if metrics_file else None
        listening = listen(hosts, port, cert=cert, key=key, insecure=insecure)
    run_command(
        _serve(listening, metrics_token, control=control, is_opened=is_opened, beside=beside, is_kept=not unkept)
    )


async def _serve(
    listening: Listening,
    metrics_token: str | None,
    *,
    control: bool,
    is_opened: bool,
    beside: str | None,
    is_kept: bool,
) -> None:
    """Serve the page until a signal comes, or the program that has started this one has ended."""
    from aioparcs.web.server import open_server  # the list of commands does without HTTP

    token = (None if beside else last_token()) or secrets.token_urlsafe(32)
    address = f"{listening.url}#token={token}"
    async with open_server(
        listening, token, has_control=control, metrics_token=metrics_token, is_beside=bool(beside), is_kept=is_kept
    ):
        _remove_opened()
        announcement = nullcontext() if beside else announced(address, token)
        with announcement as reason, _opened(address) if is_opened else nullcontext():
            click.echo(_address(address, beside))
            if reason:
                click.echo(f"programs can't find this server, {reason}", err=True)
            sys.stdout.flush()
            await (_parent_ended() if beside else asyncio.Event().wait())


def _metrics_token(path: Path) -> str:
    """Return the token of a file, which is made if it isn't there."""
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(f"{secrets.token_urlsafe(32)}\n")
    except FileExistsError:
        pass
    except OSError as error:
        raise Usage(f"--metrics-token {path}: {error.strerror}") from None
    try:
        token = path.read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        raise Usage(f"--metrics-token {path}: it can't be read: {error}") from None
    if len(token) < _SHORTEST or any(map(str.isspace, token)):
        raise Usage(f"--metrics-token {path}: a token has at least {_SHORTEST} characters, and no space")
    return token


def _address(address: str, job: str | None) -> str:
    return f"{address}&job={quote(job)}" if job else address


async def _parent_ended() -> None:
    """Wait until standard input ends: the program that has started this one holds its other end."""
    ended, loop = asyncio.Event(), asyncio.get_running_loop()

    def read() -> None:
        if not os.read(0, 4096):
            ended.set()

    loop.add_reader(0, read)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(0)


@contextmanager
def _opened(address: str) -> Iterator[None]:
    """Open an address in a browser by way of a file, since other users see the arguments of programs."""
    path = store_folder().parent / _OPENED.replace("*", str(os.getpid()))
    page = f'<!DOCTYPE html><meta charset="utf-8"><meta http-equiv="refresh" content="0; url={address}">\n'
    with ExitStack() as stack:
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
            file = stack.enter_context(open(descriptor, "wb", buffering=0))
            stack.callback(path.unlink, missing_ok=True)
            fcntl.flock(file, fcntl.LOCK_EX)  # as long as it is needed
            file.write(page.encode())
        except OSError as error:
            click.echo(f"no browser is opened, {path} can't be written: {os_reason(error)}", err=True)
        else:
            webbrowser.open(path.as_uri())
        yield


def _remove_opened() -> None:
    """Remove such files of servers that were killed."""
    for path in store_folder().parent.glob(_OPENED):
        if not is_running(path):
            with suppress(OSError):  # the page goes on without
                path.unlink()
