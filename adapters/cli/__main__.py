"""The command line as a program: ``python -m adapters.cli``."""

import sys

from adapters.cli import main

if __name__ == "__main__":
    sys.exit(main())
