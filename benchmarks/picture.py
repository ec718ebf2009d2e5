"""Draw the ratios as bars, each with a mark at its target and a line over its quartiles, in SVG written by hand."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from benchmarks.report import short
from benchmarks.results import Measured

_ROW, _LEFT, _BARS, _RIGHT, _TOP = 34, 270, 380, 150, 58
_STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #24292f } .dim { fill: #6e7781; font-size: 11px }
  .met { fill: #2da44e } .missed { fill: #cf222e } .plain { fill: #8c959f }
  .one { stroke: #8c959f; stroke-dasharray: 3 3 } .target { stroke: #24292f; stroke-width: 2 }
  .spread { stroke: #24292f } .paper { fill: #ffffff }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .dim { fill: #9198a1 } .target, .spread { stroke: #e6edf3 } .paper { fill: #0d1117 }
  }
"""


def draw(ratios: Sequence[Measured], caption: str) -> str:
    """Draw ``ratios`` one below the other; ``caption`` says what they were measured on."""
    width, height = _LEFT + _BARS + _RIGHT, _TOP + _ROW * len(ratios) + 34
    most = max((_reach(measured) for measured in ratios), default=1.0)
    scale = _BARS / most
    rows = [_row(measured, _TOP + _ROW * i, scale) for i, measured in enumerate(ratios)]
    one, bottom = _LEFT + scale, _TOP + _ROW * len(ratios)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
            f'viewBox="0 0 {width} {height}" role="img">',
            f"<style>{_STYLE}</style>",
            f'<rect class="paper" width="{width}" height="{height}"/>',
            '<text x="12" y="22">aioparcs over what one would write without it</text>',
            '<text x="12" y="40" class="dim">median of paired rounds; thin line: quartiles; '
            "thick mark: target; dashed: as fast as the other</text>",
            *rows,
            f'<line class="one" x1="{one:.1f}" x2="{one:.1f}" y1="{_TOP - 6}" y2="{bottom}"/>',
            f'<text x="12" y="{height - 12}" class="dim">{escape(caption)}</text>',
            "</svg>\n",
        ]
    )


def _reach(measured: Measured) -> float:
    bound = measured.target.bound if measured.target else 1.0
    return max(1.0, measured.quartiles[1], measured.median, bound) * 1.02


def _row(measured: Measured, top: float, scale: float) -> str:
    low, high = measured.quartiles
    kind = {True: "met", False: "missed", None: "plain"}[measured.met]
    middle = top + 9
    parts = [
        f'<text x="12" y="{top + 14}">{escape(measured.what)}</text>',
        f'<rect class="{kind}" x="{_LEFT}" y="{top}" width="{measured.median * scale:.1f}" height="18" rx="2"/>',
        f'<line class="spread" x1="{_LEFT + low * scale:.1f}" x2="{_LEFT + high * scale:.1f}" '
        f'y1="{middle}" y2="{middle}"/>',
        f'<text x="{_LEFT + _BARS + 12}" y="{top + 14}">{short(measured.median)}</text>',
    ]
    if measured.target is not None:
        x = _LEFT + measured.target.bound * scale
        parts.append(f'<line class="target" x1="{x:.1f}" x2="{x:.1f}" y1="{top - 3}" y2="{top + 21}"/>')
        parts.append(f'<text x="{_LEFT + _BARS + 60}" y="{top + 14}" class="dim">target {measured.target}</text>')
    return "\n".join(parts)
