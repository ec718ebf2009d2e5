"""Simulated launchers and workers: a few processes that speak the real wire, for runners with thousands of workers."""

from benchmarks.simulation.engine import SimulatedEngine

__all__ = ["SimulatedEngine"]
