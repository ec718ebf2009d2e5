"""
A launcher that imports the module of a function or a class, in place of running a ``main.py``.

An engine runs this file, with the place of the function in ``PARCS_TARGET``, and in ``PARCS_PATH`` the folders in which
the runner's own program finds modules.
"""

import json
import os
import sys


def main() -> None:
    """Import the module with the path of the runner's program, and serve what the runner has asked for."""
    # The folder of this file is no place for a program's modules. On a Swarm these are relative to the image's folder.
    folders = [os.path.abspath(folder) for folder in json.loads(os.environ["PARCS_PATH"])]
    rest = [folder for folder in sys.path if folder not in folders and folder != os.path.dirname(__file__)]
    sys.path[:] = [*folders, *rest]
    from aioparcs.service.serving import serve_named  # found on that path

    serve_named(os.environ["PARCS_TARGET"])


if __name__ == "__main__":
    main()
