"""Type of the command line, run inside the test's own process."""

from collections.abc import Callable

Run = Callable[..., tuple[int, str, list[str]]]
"""A command line's words to its exit code, its standard output and the lines of its standard error."""
