"""
A load-balanced view of ipyparallel, each call a message by itself (``chunksize=1``, its default).

https://ipyparallel.readthedocs.io/en/latest/tutorial/task.html
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile

os.environ["IPYTHONDIR"] = tempfile.mkdtemp()  # in the folder that the harness removes

import ipyparallel

from benchmarks.peers.calls import control


def _main(workers: int) -> None:
    cluster = ipyparallel.Cluster(n=workers, log_level=logging.ERROR)
    with cluster as client:
        client.wait_for_engines(workers, interactive=False, timeout=120)
        control.check_workers(client[:].apply_sync(os.getpid), workers)
        view = client.load_balanced_view()

        def noop(count: int) -> list[int]:
            answers = list(view.map_async(control.noop, range(count), ordered=False))
            client.purge_everything()  # else it remembers all of them
            return answers

        def pause(count: int) -> list[int]:
            return [answer for answer, _pid in view.map_async(control.pause, range(count), ordered=False)]

        control.run_rounds({"noop": noop, "pause": pause})


if __name__ == "__main__":
    _main(int(sys.argv[1]))
