"""The tree of a broadcast: the parent from which each worker gets the message."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["broadcast_tree"]

# How many neighbours on its own node a worker feeds: the fewer, the deeper the tree; the more, the busier its root.
_WIDTH = 4


def broadcast_tree(nodes: Sequence[str]) -> list[int]:
    """
    Return a tree of workers, given each one's node; -1 is the origin.

    From node to node it is a chain, so that each byte comes to a node once, and leaves it once, whatever the number of
    nodes. Its first worker there feeds the others, which feed each other.

    Returns:
        For each worker, the number of the one that feeds it.
    """
    parents = [-1] * len(nodes)
    groups: dict[str, list[int]] = {}
    for number, node in enumerate(nodes):
        groups.setdefault(node, []).append(number)
    head = -1
    for members in groups.values():
        parents[members[0]], head = head, members[0]
        for place, number in enumerate(members[1:]):
            parents[number] = members[place // _WIDTH]
    return parents
