"""The command ``aioparcs image build``."""

from __future__ import annotations

from pathlib import Path

import click

from aioparcs.cli.build import outcome
from aioparcs.cli.command import reported

__all__ = ["image"]

_EXAMPLES = """
\b
Examples:
  aioparcs image build --registry 10.138.0.6:5000
  aioparcs image build --from python:3.12-slim
  aioparcs image build --wheels DIR    on a cluster that can't reach the package index

\b
Exit codes:
    0  the image is there
    1  the build or the push failed, or the leader can't be reached
    2  the command line or a setting is wrong
"""


@click.group()
def image() -> None:
    """Make the image that modules are built on."""


@image.command(short_help="Build the base image on the Swarm's leader.", epilog=_EXAMPLES)
@click.option("--from", "python", metavar="IMAGE", default="python:3.13-slim", show_default=True,
              help="The image with Python to build on.")  # fmt: skip
@click.option("--registry", metavar="R", help="Push it there, HOST:PORT or HOST:PORT/PATH.  [default: $PARCS_REGISTRY]")
@click.option("--wheels", metavar="DIR", type=click.Path(exists=True, file_okay=False, path_type=Path),
              help="Install packages from the wheels in this folder only.  [default: $PARCS_WHEELS]")  # fmt: skip
@click.option("-v", "--verbose", is_flag=True, help="Show all that the build and the push print.")
def build(python: str, registry: str | None, wheels: Path | None, verbose: bool) -> None:
    """Build the base image on the Swarm's leader: Python, and aioparcs as it is installed here.

    It is aioparcs/python with the version of aioparcs as its tag: where `aioparcs build` looks for it. What has not
    changed is neither built nor pushed again.
    """
    from aioparcs.cli.building import build_base_image  # Docker's libraries take longer to load than the rest together

    with reported():
        made = build_base_image(python, registry, wheels, verbose=verbose)
    click.echo(f"base image: {outcome(made)}")
