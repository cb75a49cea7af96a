"""Reading position in the text of an EXPR (packet filter expression), which the parsers of its parts share.

A `Cursor` reads tokens by regular expression and limits the nesting depth. Its methods raise or build
`WordsRefused`, with the text, the position and what was expected.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from engine.errors import WordsRefused, safe_text

MAX_DEPTH = 64
"""Maximum nesting depth; each level uses some of the interpreter's stack."""

_BLANK = re.compile(r"\s*")
_RUN = re.compile(r"[^\s()&|!<>=\[\]]+")
_TOKEN = re.compile(r"[^\s()&|!<>=\[\]]+|&&|\|\||[<>=!]=|<<|>>|.", re.DOTALL)


@dataclass(slots=True)
class Cursor:
    """Text and a position in it (from 0); ``depth`` counts the enclosing parts."""

    text: str
    at: int = 0
    depth: int = 0

    def __post_init__(self) -> None:
        self._skip()

    def _skip(self) -> None:
        blank = _BLANK.match(self.text, self.at)
        self.at = self.at if blank is None else blank.end()

    def ended(self) -> bool:
        """Return whether only blanks are left."""
        return self.at == len(self.text)

    @property
    def run(self) -> str:
        """Text up to the next blank, bracket or operator; empty if one of these is next."""
        found = _RUN.match(self.text, self.at)
        return found.group() if found else ""

    def sees(self, pattern: re.Pattern[str]) -> str:
        """Return the text that matches here without consuming it; empty if nothing matches."""
        found = pattern.match(self.text, self.at)
        return found.group() if found else ""

    def take(self, pattern: re.Pattern[str]) -> str:
        """Consume the text that matches here and the blanks after it; return it, or "" if nothing matches."""
        found = self.sees(pattern)
        self.at += len(found)
        self._skip()
        return found

    def take_run(self) -> str:
        """Consume the text that `run` shows."""
        found = self.run
        self.at += len(found)
        self._skip()
        return found

    def need(self, pattern: re.Pattern[str], expected: str) -> str:
        """Consume the text that matches here.

        Raises:
            WordsRefused: Nothing matches.
        """
        found = self.take(pattern)
        if not found:
            raise self.refused(expected)
        return found

    def refused(self, expected: str, problem: str = "", at: int | None = None) -> WordsRefused:
        """Return an error about the text here or at ``at``; the default problem is the token found there."""
        place = self.at if at is None else at
        token = _TOKEN.match(self.text, place)
        found = f"found {safe_text(token.group())}" if token else "found the end"
        return WordsRefused("expression", self.text, place, problem or found, expected)

    def check_depth(self, levels: int) -> None:
        """Check that ``levels`` more nesting levels are allowed.

        Raises:
            WordsRefused: The limit is exceeded.
        """
        if self.depth + levels > MAX_DEPTH:
            raise self.refused(f"at most {MAX_DEPTH} parts inside one another", "nested too deep")

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Enter one nesting level for the length of a block.

        Raises:
            WordsRefused: The limit is exceeded.
        """
        self.check_depth(1)
        self.depth += 1
        try:
            yield
        finally:
            self.depth -= 1
