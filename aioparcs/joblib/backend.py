"""The joblib backend, an executor behind joblib's interface."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import Context, copy_context
from typing import Any

from joblib.parallel import AutoBatchingMixin, FallbackToBackend, ParallelBackendBase, SequentialBackend

from aioparcs.cpus import usable_cpus
from aioparcs.executor import Executor
from aioparcs.joblib.batches import pack_batch, run_batch

__all__ = ["AioparcsBackend"]


class AioparcsBackend(AutoBatchingMixin, ParallelBackendBase):  # type: ignore[misc]  # joblib has no types
    """
    Runs joblib's batches in an executor's workers, which stay for the next ``Parallel`` of the same backend.

    Batches, with the functions and arguments in them, go to the workers pickled. Results come as those of any call.
    """

    supports_retrieve_callback = True
    supports_inner_max_num_threads = True

    _executor: Executor | None = None
    _workers = 0
    _place: Context | None = None  # where the ``Parallel`` is, as for its trace: later batches come from other threads

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """Return the number of workers; negative numbers count from the CPUs that this program may use."""
        if n_jobs == 0:
            raise ValueError("n_jobs == 0 in Parallel has no meaning")
        if n_jobs is None:
            return 1
        if n_jobs > 0:
            return n_jobs
        most = os.environ.get("LOKY_MAX_CPU_COUNT")  # joblib's own limit, see joblib.cpu_count()
        cpus = min(usable_cpus(), int(most)) if most else usable_cpus()
        return max(cpus + 1 + n_jobs, 1)

    def configure(self, n_jobs: int = 1, parallel: Any = None, **_: Any) -> int:
        """Start an executor of so many workers, unless there is one; return the number."""
        self.parallel = parallel
        self._place = self._place or copy_context()
        workers = self.effective_n_jobs(n_jobs)
        if workers == 1:
            raise FallbackToBackend(SequentialBackend(nesting_level=self.nesting_level))
        if self._executor is None or self._workers != workers:
            options = dict(self.backend_kwargs)
            env = {**self._prepare_worker_env(n_jobs=workers), **options.pop("env", {})}
            self._executor = Executor(workers, env=env, **options)  # the one before ends once it is idle
            self._workers = workers
        return workers

    def submit(self, func: Any, callback: Callable[[Future[Any]], object] | None = None) -> Future[Any]:
        """Submit a batch."""
        assert self._executor is not None
        place = (self._place or copy_context()).copy()  # several threads may submit at once
        future = place.run(self._executor.submit, run_batch, pack_batch(func))
        if callback is not None:
            future.add_done_callback(callback)
        return future

    def retrieve_result_callback(self, out: Future[Any]) -> Any:
        """Return the results of a batch, or raise the exception of one of its calls."""
        return out.result()

    def terminate(self) -> None:
        """Forget the ``Parallel`` that has ended; the workers stay for the next one."""
        self.parallel = None  # which has this backend: the cycle would keep the workers until the collector comes
        self._place = None
        self.reset_batch_stats()

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """Kill the workers: a call has failed, and the results of the others are not needed."""
        if self._executor is not None:
            self._executor.kill_workers()
            self._executor = None
        if ensure_ready:
            self.configure(n_jobs=self.parallel.n_jobs, parallel=self.parallel)
