"""
Memory that the processes of one machine share, so that arrays in it cross without a copy.

It has no name: a process of the same user opens the other one's descriptor under ``/proc``, and maps it. Nothing is
left of it once the last process that has mapped it has ended, in whatever way.
"""

from aioparcs.shared.kept import KeptMemory, place_of
from aioparcs.shared.memory import LEAST, SharedMemory, SharedPart, find_shared
from aioparcs.shared.probe import Probe, is_reachable, keep_spare, own_probe, take_spare

__all__ = [
    "LEAST",
    "KeptMemory",
    "Probe",
    "SharedMemory",
    "SharedPart",
    "find_shared",
    "is_reachable",
    "keep_spare",
    "own_probe",
    "place_of",
    "take_spare",
]
