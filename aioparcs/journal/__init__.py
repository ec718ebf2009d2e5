"""
Journals of pools: files with the results of calls, from which a run that was killed goes on.

``docs/journal.md`` describes them, and their format.
"""

from aioparcs.journal.journal import Journal, Results
from aioparcs.journal.records import KEY_SIZE
from aioparcs.journal.summary import JournalSummary, summarize
from aioparcs.journal.version import SIZE, function_version

__all__ = ["KEY_SIZE", "SIZE", "Journal", "JournalSummary", "Results", "function_version", "summarize"]
