"""Recordings of programs: files with all of their events, and what is made of those."""

from aioparcs.recording.reader import Recording, read_recording
from aioparcs.recording.recorder import Recorder, recorded

__all__ = ["Recorder", "Recording", "read_recording", "recorded"]
