"""A service that calls workers of its own, in the trace of the span in which it was started."""

import os
from pathlib import Path

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from aioparcs import Service, serve
from tests.support.telemetry import FileExporter

provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(FileExporter(Path(os.environ["FOLDER"]))))
trace.set_tracer_provider(provider)


class Tree(Service):
    async def run(self) -> None:
        async with self.start("traced", env={"FOLDER": os.environ["FOLDER"]}) as task:
            await self.send(await task.call("half", await self.recv()))


serve(Tree)
