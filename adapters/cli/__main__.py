"""Entry point of ``python -m adapters.cli``: runs the command line and exits with its exit code."""

import sys

from adapters.cli import main

if __name__ == "__main__":
    sys.exit(main())
