"""A function that leaves a mark each time it begins, in a folder that all machines see."""

import os
import time

from aioparcs import serve


def work(item: int, seconds: float) -> list[int]:
    mark = os.open(f"/shared/{item}", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    os.write(mark, b"x")
    os.close(mark)
    time.sleep(seconds)
    return [item, item * item]


serve(work)
