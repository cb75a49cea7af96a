"""Type of the command line, run inside the test's own process."""

from collections.abc import Callable

Run = Callable[..., tuple[int, str, list[str]]]
"""Function from command-line words to exit code, standard output and the lines of standard error."""
