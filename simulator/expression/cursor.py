"""The text of an expression, and how far it has been read."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from engine.errors import WordsRefused, shown

DEEPEST = 64
"""How deep parts may lie inside others: each takes some of the interpreter's stack."""

_BLANK = re.compile(r"\s*")
_RUN = re.compile(r"[^\s()&|!<>=\[\]]+")
_TOKEN = re.compile(r"[^\s()&|!<>=\[\]]+|&&|\|\||[<>=!]=|<<|>>|.", re.DOTALL)


@dataclass(slots=True)
class Cursor:
    """A text and the place in it, from 0; ``depth`` counts the parts that enclose the place."""

    text: str
    at: int = 0
    depth: int = 0

    def __post_init__(self) -> None:
        self._skip()

    def _skip(self) -> None:
        blank = _BLANK.match(self.text, self.at)
        self.at = self.at if blank is None else blank.end()

    def ended(self) -> bool:
        """Whether nothing but blanks is left."""
        return self.at == len(self.text)

    @property
    def run(self) -> str:
        """What stands here up to the next blank, bracket or operator; empty at one of these."""
        found = _RUN.match(self.text, self.at)
        return found.group() if found else ""

    def sees(self, pattern: re.Pattern[str]) -> str:
        """Return what matches here, without taking it; empty if nothing does."""
        found = pattern.match(self.text, self.at)
        return found.group() if found else ""

    def take(self, pattern: re.Pattern[str]) -> str:
        """Take what matches here, and the blanks behind it; empty if nothing does."""
        found = self.sees(pattern)
        self.at += len(found)
        self._skip()
        return found

    def take_run(self) -> str:
        """Take what `run` shows."""
        found = self.run
        self.at += len(found)
        self._skip()
        return found

    def need(self, pattern: re.Pattern[str], expected: str) -> str:
        """Take what matches here.

        Raises:
            WordsRefused: nothing does.
        """
        found = self.take(pattern)
        if not found:
            raise self.refused(expected)
        return found

    def refused(self, expected: str, problem: str = "", at: int | None = None) -> WordsRefused:
        """Make the error about what stands here, or at a place before; without a problem it is what was found."""
        place = self.at if at is None else at
        token = _TOKEN.match(self.text, place)
        found = f"found {shown(token.group())}" if token else "found the end"
        return WordsRefused("expression", self.text, place, problem or found, expected)

    def bear(self, levels: int) -> None:
        """Make sure that some levels more are not too deep.

        Raises:
            WordsRefused: they are.
        """
        if self.depth + levels > DEEPEST:
            raise self.refused(f"at most {DEEPEST} parts inside one another", "nested too deep")

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Go one level deeper.

        Raises:
            WordsRefused: that would be too deep.
        """
        self.bear(1)
        self.depth += 1
        try:
            yield
        finally:
            self.depth -= 1
