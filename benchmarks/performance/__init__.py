"""
The measurements of docs/performance.md: sweeps over workers, sizes and items, and a few ratios beside its peers.

`python -m benchmarks.performance measure` writes ``benchmarks/results/DATE.json``, `draw` makes the pictures and
renews the figures of the page from it, and `quick` compares the ratios of today with those that are committed.
"""
