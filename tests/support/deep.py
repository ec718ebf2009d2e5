"""The number of histories of random tests: few in `make test`, many in `make test-deep`."""

import os

import pytest

__all__ = ["IS_DEEP", "deep", "repeats"]

IS_DEEP = "TEST_DEEP" in os.environ

deep = pytest.mark.deep
"""Marks a test of which `make test-deep` makes more."""


def repeats(usual: int, deep: int) -> int:
    """Return how often a random test repeats: in `make test`, and in `make test-deep`."""
    return deep if IS_DEEP else usual
