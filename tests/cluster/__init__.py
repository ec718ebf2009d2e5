"""
A real Swarm of several nodes on one machine, for the tests and for experiments.

``python -m tests.cluster up`` and docs/cluster.md; in a test, the fixture `cluster`.
"""

from tests.cluster.cluster import Cluster, down, obstacle, up
from tests.cluster.command import ClusterError
from tests.cluster.node import Node

__all__ = ["Cluster", "ClusterError", "Node", "down", "obstacle", "up"]
