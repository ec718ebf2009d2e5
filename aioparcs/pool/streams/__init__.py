"""The streams of a pool: the items of generators that run in its workers."""

from aioparcs.pool.streams.merged import Merge, MergedStream, StreamOptions
from aioparcs.pool.streams.methods import StreamMethods
from aioparcs.pool.streams.stream import PoolStream, StreamCall
from aioparcs.pool.streams.streams import Streams

__all__ = ["Merge", "MergedStream", "PoolStream", "StreamCall", "StreamMethods", "StreamOptions", "Streams"]
