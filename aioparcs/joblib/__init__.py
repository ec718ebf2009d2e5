"""
The joblib backend ``aioparcs``: importing this registers it, for ``joblib.parallel_config(backend="aioparcs")``.

It needs the extra ``aioparcs[joblib]``. See docs/executor.md, and docs/security.md for what is pickled.
"""

from typing import Any

from joblib import register_parallel_backend


def _make_backend(**options: Any) -> Any:
    """Return a backend; workers import this package too, and load nothing that only the program needs."""
    from aioparcs.joblib.backend import AioparcsBackend

    return AioparcsBackend(**options)


register_parallel_backend("aioparcs", _make_backend)
