"""Messages of the server on jobs that never ran; texts that programs choose are hostile."""

from typing import Any

__all__ = ["HOSTILE", "JOB", "cluster", "job_row", "snapshot", "worker_page", "worker_row"]

JOB = "render-3fa9c1"
HOSTILE = "</script><script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'>"
_FUNCTIONS = ("frame", "merge")
_DATE = 1_790_000_000.0

Json = dict[str, Any]


def job_row(name: str = JOB, **changes: Any) -> Json:
    """Return a job as in the list of all."""
    row = {
        "id": name, "program": "render/main.py", "engine": "local", "state": "running", "started": _DATE,
        "seconds": 60.0,
        "workers": {"requested": 6, "up": 5, "done": 0, "lost": 1, "stopped": 0},
        "items": {"done": 240, "total": 1000, "failed": 3, "running": 4}, "rate": 4.0, "left": 190.0, "error": "",
        "waits": [], "control": False,
    }  # fmt: skip
    return row | changes


def worker_row(number: int, state: str = "waiting", **changes: Any) -> Json:
    """Return a worker's row."""
    carried = {"sent": 40, "received": 40, "bytesSent": 4000, "bytesReceived": 90_000}
    row = {
        "number": number, "module": "render", "node": f"node{number % 3 + 1}", "state": state, "requested": 0.2,
        "connected": None if state == "starting" else 1.0, "ended": 30.0 if state in ("lost", "done") else None,
        "reason": f"killed by SIGKILL {HOSTILE}" if state == "lost" else "", "calls": 40, "failed": number % 2,
        "busy": 40.0, "current": None, "parent": None,
        "usage": {"cpu": 0.93, "memory": 250_000_000}, "channel": carried | {"queued": 0, "unread": 300},
    }  # fmt: skip
    if state == "calling":
        row["current"] = {"function": "frame", "call": f"item {900 + number}: ({HOSTILE})", "begin": 55.0}
    return row | changes


def spans_of(worker: int, count: int, step: float) -> list[list[Any]]:
    """Return calls of a worker, one after the other; each 20th has failed."""
    spans: list[list[Any]] = []
    for i in range(count):
        begin, failed = 1.1 + i * step + 0.001 * worker, int(i % 20 == 13)
        error = f"ValueError: {HOSTILE}" if failed else ""
        call = f"item {worker * count + i}: {HOSTILE}"
        spans.append([worker, i % 4 // 3, begin, begin + step * 0.9, step * 0.9, 1, failed, call, error])
    return spans


def snapshot(workers: int = 6, spans: int = 40, lines: int = 60, **changes: Any) -> Json:
    """Return the first message on a job: a worker waits, the second is lost, and the others are in a call."""
    states = ["waiting", "lost", *["calling"] * max(0, workers - 2)][:workers]
    rows = [worker_row(number, state) for number, state in enumerate(states)]
    calls = [span for number in range(workers) for span in spans_of(number, spans, 55 / max(1, spans))]
    calls.sort(key=lambda span: float(span[3]))
    trace = f'File "main.py", line 7, in frame {HOSTILE}'
    failed = [[span[3], _FUNCTIONS[span[1]], span[7], span[8], span[0], trace] for span in calls if span[6]][:50]
    slowest = [[span[4], _FUNCTIONS[span[1]], span[7], span[0], span[2]] for span in calls[:50]]
    message = {
        "reset": True, "now": 60.0,
        "overview": job_row() | {"versions": {"aioparcs": "0.1.0", "Python": "3.12.1"}, "hasCalls": True,
                                 "calls": len(calls), "failedCalls": len(failed), "utilisation": 0.87, "isFull": False},
        "pools": [_pool(0, "render", done=240, total=1000, waits="for a node with 4 free cores"),
                  _pool(1, f"thumbnails {HOSTILE}", done=50, total=50, ended=20.0, workers=0, wanted=0, running=0)],
        "modules": [{"module": "render", "requested": workers, "up": workers - 1, "done": 0, "failed": 1, "stopped": 0,
                     "fraction": 0.0, "reports": False, "nodes": {"node1": workers}, "waits": ""}],
        "workers": rows, "spans": calls, "failures": failed, "slowest": slowest,
        "functions": [{"name": name, "calls": 100, "failed": 2, "busy": 90.0, "longest": 2.5} for name in _FUNCTIONS],
        "nodes": [{"node": f"node{i}", "workers": 2, "up": 2, "lost": 0, "calls": 80, "busy": 70.0} for i in (1, 2, 3)],
        "series": [[t, workers, workers - 1, 4.0, 0.1, 4 * t, 8.0, 20_000.0] for t in range(1, 61)],
        "peers": [[0, 2, 3.0, None], [2, 3, 3.0, 9.0]],
        "log": [[i, float(i), "render", i % max(1, workers), f"line {i}: {HOSTILE}", 0] for i in range(lines)]
               + [[lines, 59.5, "render", None, "a notice of the launcher", 1]],
        "explain": [{"subject": "pool render", "text": f"waits for a node with 4 free cores {HOSTILE}", "since": 48.0},
                    {"subject": "worker 2", "text": "does not read: 12 messages are queued", "since": None}],
    }  # fmt: skip
    return message | changes


def _pool(number: int, name: str, **changes: Any) -> Json:
    pool = {
        "id": number, "name": name, "done": 0, "failed": 3, "total": None, "running": 4, "workers": 5, "wanted": 6,
        "repeats": 1, "waits": "", "peak": 6, "begun": 0.5, "ended": None, "rate": 4.0, "left": 190.0,
    }  # fmt: skip
    return pool | changes


def worker_page(number: int, message: Json, **changes: Any) -> Json:
    """Return what the server answers on one worker of a job."""
    page = {
        "worker": next(row for row in message["workers"] if row["number"] == number),
        "log": [line for line in message["log"] if line[3] == number],
        "spans": [span for span in message["spans"] if span[0] == number],
        "failures": [row for row in message["failures"] if row[4] == number],
        "functions": list(_FUNCTIONS), "hasCalls": True, "explain": [], "now": message["now"], "control": False,
        "program": "render/main.py",
        "usageSeries": [[t, 0.9, 250_000_000] for t in range(0, 60, 5)],
        "channelSeries": [[t, 2.0, 3000.0] for t in range(60)],
    }  # fmt: skip
    return page | changes


def cluster() -> Json:
    """Return a Swarm of three nodes: a node is drained, and another one is down."""
    tasks = [{"job": JOB, "service": "render", "state": "running"}] * 2
    nodes = [("node1", "ready", "active", tasks), ("node2", "ready", "drain", []), ("node3", "down", "active", [])]
    return {
        "available": True, "reason": "",
        "nodes": [{"name": name, "role": "manager", "state": state, "availability": availability, "cores": 8,
                   "memory": 16 << 30, "docker": "28.5.2", "tasks": own} for name, state, availability, own in nodes],
        "local": {"name": "laptop", "cores": 4, "memory": 8 << 30, "python": "3.12.1", "aioparcs": "0.1.0"},
    }  # fmt: skip
