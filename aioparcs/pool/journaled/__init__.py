"""Calls of a pool whose results a journal keeps."""

from aioparcs.pool.journaled.calls import JournaledIterator, JournaledKeyedIterator, JournaledMap
from aioparcs.pool.journaled.journals import FunctionJournal, Journals

__all__ = ["FunctionJournal", "JournaledIterator", "JournaledKeyedIterator", "JournaledMap", "Journals"]
