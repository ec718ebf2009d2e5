"""``python -m aioparcs`` is the command line."""

from aioparcs.cli import main

if __name__ == "__main__":
    main()
