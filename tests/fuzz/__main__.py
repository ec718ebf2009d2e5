"""
Fuzzes a target: ``python -m tests.fuzz decoder --seconds 60``; ``all`` stands for each, one after the other.

It is guided by coverage where atheris is installed (``pip install --group fuzz``), else inputs are mutated by a seed.
One that fails is written to ``build/fuzz``.
"""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
import time
import traceback
from pathlib import Path

BUILD = Path(__file__).parents[2] / "build/fuzz"
NAMES = ("decoder", "values", "handshake", "hello", "control", "channel", "events", "files", "docker", "page")


def main() -> int:
    """Fuzz the targets that the arguments name; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("target", choices=(*NAMES, "all"))
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", action="store_true", help="add what is found to the corpus")
    parser.add_argument("--mutate", action="store_true", help="use no coverage, also where atheris is installed")
    arguments = parser.parse_args()
    if arguments.target == "all":
        own = ("--seconds", str(arguments.seconds), "--seed", str(arguments.seed), *["--mutate"] * arguments.mutate,
               *["--keep"] * arguments.keep)  # fmt: skip
        codes = [subprocess.run([sys.executable, "-m", "tests.fuzz", one, *own]).returncode for one in NAMES]
        return max(map(abs, codes))
    if arguments.mutate or importlib.util.find_spec("atheris") is None:
        return _mutate(arguments.target, arguments.seconds, arguments.seed)
    from tests.fuzz import guided

    print(f"{arguments.target}: {arguments.seconds} s, guided by coverage", flush=True)
    return guided.fuzz(arguments.target, arguments.seconds, arguments.seed, BUILD, keeps=arguments.keep)


def _mutate(name: str, seconds: int, seed: int) -> int:
    from tests.fuzz.corpus import inputs
    from tests.fuzz.mutation import mutations
    from tests.fuzz.targets import TARGETS

    end = time.monotonic() + seconds
    for count, data in enumerate(mutations(inputs(name), seed)):
        try:
            TARGETS[name](data)
        except Exception:
            traceback.print_exc()
            BUILD.mkdir(parents=True, exist_ok=True)
            path = BUILD / f"{name}-{count}"
            path.write_bytes(data)
            print(f"{name}: input {count} fails: {path}")
            return 1
        if time.monotonic() > end:
            print(f"{name}: {count:,} inputs in {seconds} s, mutated by a seed, and none fails", flush=True)
            break
    return 0


if __name__ == "__main__":
    sys.exit(main())
