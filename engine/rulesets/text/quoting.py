"""Splits and quotes the words of a line by the rules of iptables and ipset.

Input: lines of text. Output: words, each with a flag that says whether it was quoted. iptables escapes quotes and
backslashes inside double quotes; ipset has double quotes but no escapes. Raises `TextRefused` for a line that cannot be
split, ``ValueError`` for a word that cannot be quoted.

Source: ``xtables_save_string`` and ``add_param_to_argv`` of iptables 1.8.
"""

import re
from dataclasses import dataclass

from engine.errors import TextRefused, safe_text

_PLAIN = re.compile(r"[!#-\[\]-~]+")  # printable ASCII except space, double quote, backslash
_PLAIN_TEXT = re.compile(r"[A-Za-z0-9_-]+")  # iptables' unquoted characters for user text: comments, log prefixes
_FORBIDDEN = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")  # tab is allowed in quotes
_UNQUOTABLE = re.compile(r'["\x00-\x1f\x7f]')
_NAME = re.compile(r'[^\s"\x00-\x1f\x7f]+', re.ASCII)
_WORD = re.compile(r'\s*(?:([^\s"]*)"((?:[^"\\]|\\.)*)"|([^\s"]+)(?=\s|$))', re.ASCII)
_WORD_UNESCAPED = re.compile(r'\s*(?:()"([^"]*)"|([^\s"]+))(?=\s|$)', re.ASCII)
_ESCAPED = re.compile(r"\\(.)")


@dataclass(frozen=True, slots=True)
class LineWord:
    """A word, and whether it was quoted; a quoted word is never an option."""

    text: str
    quoted: bool = False


class Quoted(str):
    """A quoted word: always a value, never an option."""

    __slots__ = ()


def tokens(line: str, source: str, number: int) -> list[str]:
    """Split a line of iptables-save like `split`, but faster for plain words.

    Raises:
        TextRefused: a quote is not closed.
    """
    parts = line.split('"') if "\\" not in line and line.isascii() else []
    if len(parts) == 1:
        return line.split()
    words: list[str] = []
    for bare, quoted in zip(parts[::2], parts[1::2], strict=False):
        if bare[-1:].strip() or (words and not bare[:1].isspace()):
            break  # a quote inside a word
        words += bare.split()
        words.append(Quoted(quoted))
    else:
        if len(parts) % 2 and not parts[-1][:1].strip():
            return words + parts[-1].split()
    return [Quoted(word.text) if word.quoted else word.text for word in split(line, source, number)]


def split(line: str, source: str, number: int, *, escapes: bool = True) -> list[LineWord]:
    """Split one line into words; without ``escapes`` a backslash is an ordinary character.

    In iptables text a quote may open inside a word; the closing quote ends the word.

    Raises:
        TextRefused: a quote is not closed, or is inside a word of ipset text.
    """
    words, position, end = [], 0, len(line.rstrip())
    word = _WORD if escapes else _WORD_UNESCAPED
    while position < end:
        found = word.match(line, position)
        if found is None:
            raise TextRefused(
                source, number, f"found {safe_text(line[position:end].strip())}", "words, quoted in pairs"
            )
        before, quoted, bare = found.groups()
        if bare is not None:
            words.append(LineWord(bare))
        else:
            words.append(LineWord(before + (_ESCAPED.sub(r"\1", quoted) if escapes else quoted), quoted=True))
        position = found.end()
    return words


def quote(word: str) -> str:
    """Return a value as one word of a restore line, quoted if needed.

    Raises:
        ValueError: it has a control character other than a tab.
    """
    if _PLAIN.fullmatch(word) and not word.startswith(("-", "!")):
        return word
    return quote_always(word)


def quote_text(word: str) -> str:
    """Return user text as iptables' ``xtables_save_string`` prints it; raises ``ValueError`` like ``quote``."""
    return word if _PLAIN_TEXT.fullmatch(word) else quote_always(word).replace("'", "\\'")


def quote_always(word: str) -> str:
    """Return a word in quotes; raises ``ValueError`` like ``quote``."""
    if _FORBIDDEN.search(word):
        message = f"control character in {safe_text(word)}"
        raise ValueError(message)
    escaped = word.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def quote_unescaped(word: str) -> str:
    """Return a word in quotes for ipset, which has no escapes.

    Raises:
        ValueError: it has a control character or a double quote.
    """
    if _UNQUOTABLE.search(word):
        message = f"double quote or control character in {safe_text(word)}"
        raise ValueError(message)
    return f'"{word}"'


def plain_name(word: str) -> str:
    """Return the name of a table, chain, set or option for a restore line, unquoted.

    Raises:
        ValueError: it is empty, or has a space, a double quote or a control character.
    """
    if not _NAME.fullmatch(word):
        message = f"no name: {safe_text(word)}"
        raise ValueError(message)
    return word
