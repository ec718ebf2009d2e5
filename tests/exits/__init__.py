"""
The ends of a runner at every step of its life, and what is left of its job: ``python -m tests.exits``.

docs/reliability.md shows what was found.
"""
