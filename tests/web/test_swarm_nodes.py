"""The nodes of a Swarm as Docker describes them."""

import pytest

from aioparcs.web.swarm_nodes import _node

pytestmark = pytest.mark.one_loop


def test_a_node_that_has_not_reported_yet_is_described() -> None:
    joining = {"ID": "n1", "Spec": {"Role": "worker", "Availability": "active"}, "Status": {"State": "unknown"}}
    for node in (joining, joining | {"Description": {}}, joining | {"Description": {"Resources": {}, "Engine": {}}}):
        assert _node(node, [], {}) == {
            "name": "", "role": "worker", "state": "unknown", "availability": "active", "cores": 0, "memory": 0,
            "docker": "", "tasks": [],
        }  # fmt: skip
