"""The metrics of jobs for Prometheus, and others that read its format: ``/metrics``."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import hdrs, web

from aioparcs.settings import VERSION
from aioparcs.web.totals import COUNTERS, GAUGES, Family, Key, Totals

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

__all__ = ["Metrics"]

_MISSING = "metrics need prometheus-client: pip install 'aioparcs[metrics]', where this server runs\n"
_LABELS = ("program", "engine")


class Metrics:
    """
    The answers to those who collect metrics.

    Args:
        folder: the folder of histories, by default the user's own.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._totals = Totals(folder)
        self._turn = asyncio.Lock()  # several may collect

    async def answer(self, request: web.Request) -> web.Response:
        """Return the metrics in the format that the request asks for, or 501 without prometheus-client."""
        try:
            from prometheus_client.exposition import choose_encoder
        except ImportError:
            return web.Response(status=501, text=_MISSING)
        async with self._turn:
            await asyncio.to_thread(self._totals.poll)
            encode, kind = choose_encoder(request.headers.get(hdrs.ACCEPT, ""))
            return web.Response(body=encode(_Families(self._totals)), headers={hdrs.CONTENT_TYPE: kind})

    async def close(self) -> None:
        """Close all histories."""
        async with self._turn:
            self._totals.close()


class _Families:
    """The metrics as prometheus-client writes them."""

    def __init__(self, totals: Totals) -> None:
        self._totals = totals

    def collect(self) -> Iterator[Metric]:
        from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily

        build = GaugeMetricFamily("aioparcs_build_info", "1, with the version of aioparcs.", labels=["version"])
        build.add_metric([VERSION], 1)
        yield build
        for kind, families, numbers in (
            (CounterMetricFamily, COUNTERS, self._totals.counters),
            (GaugeMetricFamily, GAUGES, self._totals.gauges),
        ):
            for family in families:
                labels = [*_LABELS, family.label] if family.label else _LABELS
                metric = kind(family.name, family.text, labels=labels)
                for values, number in _samples(family, numbers):
                    metric.add_metric(values, number)
                yield metric


def _samples(family: Family, numbers: Mapping[Key, float]) -> Iterator[tuple[list[str], float]]:
    for key, number in numbers.items():
        if key.name == family.name:
            yield [key.program, key.engine, *([key.value] if family.label else [])], number
