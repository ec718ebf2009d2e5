"""The entry point of ``python -m aioparcs``: the command line."""

from aioparcs.cli import main

if __name__ == "__main__":
    main()
