"""The way in, also as `python -m dataops`. Nothing is imported before a Ctrl-C can be answered."""

import os
import sys
from typing import NoReturn


def main() -> NoReturn:
    """The installed command."""
    try:
        from dataops.cli import main as command
    except KeyboardInterrupt:
        sys.stderr.write("error: interrupted; nothing was done\n")
        sys.stderr.flush()
        os._exit(75)
    command()


if __name__ == "__main__":
    del sys.path[0]  # the folder that we were called in: a package in it must not take the place of a library
    main()
