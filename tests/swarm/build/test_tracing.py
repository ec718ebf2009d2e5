"""A trace that goes on in the containers of a real Swarm, whose images have OpenTelemetry."""

from pathlib import Path

from tests.cluster.image import download
from tests.support.command import COMMAND, execute
from tests.support.jobs import module
from tests.support.live import Cluster

PROGRAM = """
import socket
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from aioparcs import Runner, run

trace.set_tracer_provider(TracerProvider())  # in the runner and in its workers

def here():
    span = trace.get_current_span()
    return span.kind.name, span.get_span_context().trace_id, span.parent.span_id, socket.gethostname()

async def main(runner: Runner) -> None:
    with trace.get_tracer("mine").start_as_current_span("work") as work:
        async with runner.pool(here, 3) as pool:
            found = await pool.starmap([()] * 6)
        task = await runner.start(here)
        found.append(await task.call("here"))
    own = work.get_span_context()
    print({kind for kind, *_ in found})
    print({trace_id == own.trace_id for _, trace_id, *_ in found})
    print(len({span for *_, span, _ in found} - {own.span_id}), "calls")
    print(socket.gethostname() in {host for *_, host in found})

run(main)
"""


def test_a_trace_goes_on_in_containers(cluster: Cluster, tmp_path: Path) -> None:
    module(tmp_path, "main", PROGRAM)
    (tmp_path / "main" / "requirements.txt").write_text("opentelemetry-sdk\n")
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    download(wheels, "opentelemetry-sdk")
    command = [*COMMAND, "run", str(tmp_path / "main"), "--on", "swarm"]
    done = execute(command, None, **cluster.environment, PARCS_WHEELS=str(wheels))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["{'SERVER'}", "{True}", "7 calls", "False"]
