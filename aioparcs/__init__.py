"""Parallel computing over point-to-point channels, async first."""

__version__ = "0.1.0"
