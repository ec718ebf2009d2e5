"""The entry point of ``python -m aioparcs``: the command line."""

import sys

try:
    from aioparcs.cli import main
except ModuleNotFoundError as error:
    if error.name != "click":
        raise
    # An image of workers has none of the command line's libraries.
    sys.exit("error: click is not installed: build a program's image on aioparcs/python, without -worker in its tag")

if __name__ == "__main__":
    main()
