"""Entry point of ``python -m adapters.cli``: exits with the code of :func:`adapters.cli.main`."""

import sys

from adapters.cli import main

if __name__ == "__main__":
    sys.exit(main())
