"""
The messages of control connections, as typed records. No I/O, no clock.

Each record has its own ``encode`` and ``decode``. A program that has the job's token may send anything: what ``decode``
returns has values of the right types and bounds, and all else is a `ProtocolError`, which costs its sender this one
connection. docs/wire.md is the specification; its tables are made of these records.
"""
