"""Parser of pcap-filter(7) comparisons, such as ``tcp[tcpflags] & tcp-syn != 0``: a field, a mask, and a number.

Input: a `Cursor` at a position in the expression's text. Output: an `Expression`. Constant arithmetic uses 32 bits, as
in libpcap. Raises `WordsRefused` for text that is not a comparison, or for one that no iptables match can express.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import add, and_, floordiv, lshift, mul, or_, rshift, sub

from simulator.expression.ast import Expression
from simulator.expression.cursor import Cursor
from simulator.expression.primitives import number
from simulator.expression.relations import (
    FIELDS,
    LENGTH,
    NeverTrueError,
    Relation,
    RelationKey,
    UnsupportedRelationError,
)
from simulator.expression.vocabulary import CONSTANTS

_BITS = 0xFFFFFFFF

_SIGN = re.compile(r"[=!<>]=|=|<(?!<)|>(?!>)")
_LEVELS = (re.compile(r"\|(?!\|)|&(?!&)"), re.compile(r"<<|>>"), re.compile(r"[+-]"), re.compile(r"[*/]"))
"""Operators by precedence, loosest first; operators of one level associate to the left."""

_OPERATIONS: Mapping[str, Callable[[int, int], int]] = {
    "|": or_,
    "&": and_,
    "<<": lshift,
    ">>": rshift,
    "+": add,
    "-": sub,
    "*": mul,
    "/": floordiv,
}
_MIRRORED: Mapping[str, str] = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}

_NUMBER = re.compile(r"[0-9][0-9A-Za-z]*")
_WORD = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")
_OPEN, _CLOSE, _BRACKET, _END, _COLON = map(re.compile, (r"\(", r"\)", r"\[", r"\]", ":"))
_COMPARED = r"\s*(?:[=!<>]=|[=<>]|&(?!&)|\|(?!\|))"
_AFTER_GROUP = re.compile(rf"{_COMPARED}|\s*[+*/-]")
"""Text after a closing parenthesis that makes the group a number or a masked field."""

_BEGINS = re.compile(
    rf"{_WORD.pattern}(?:{_COMPARED}|\s*\[)"
    rf"|{_NUMBER.pattern}(?:\s*[+*]|(?:\s*[/-]\s*{_NUMBER.pattern})*{_COMPARED})"
)
"""Start of a relation. ``10/8`` and ``1-1023`` alone are a network and a port range, ``eth+`` is an interface."""

_FIELDS = "one of len, " + ", ".join(
    f"{name}[{at}]" if size == 1 else f"{name}[{at}:{size}]" for name, at, size in FIELDS if name != LENGTH[0]
)
_OPERAND = "a field, such as len or tcp[tcpflags], or a number"
_RELATED = "=, ==, !=, <, <=, > or >="


@dataclass(frozen=True, slots=True)
class _Field:
    """Packet field and the mask applied to it."""

    key: RelationKey
    mask: int

    @property
    def full(self) -> int:
        """Mask of all bits of the field."""
        return (1 << 8 * self.key[2]) - 1


_Operand = _Field | int


def begins_relation(cursor: Cursor) -> bool:
    """Return whether a relation begins here, not another primitive or a group."""
    if not cursor.sees(_OPEN):
        return bool(cursor.sees(_BEGINS))
    depth, at = 0, cursor.at
    for at in range(cursor.at, len(cursor.text)):
        depth += {"(": 1, ")": -1}.get(cursor.text[at], 0)
        if not depth:
            break
    return _AFTER_GROUP.match(cursor.text, at + 1) is not None


def relation(cursor: Cursor) -> Expression:
    """Parse a relation.

    Raises:
        WordsRefused: The text is not a relation, or iptables cannot express it.
    """
    at = cursor.at
    left = _operand(cursor)
    sign = cursor.need(_SIGN, _RELATED)
    right_at = cursor.at
    right = _operand(cursor)
    if isinstance(left, int):
        left, right, sign = right, left, _MIRRORED.get(sign, sign)
    if isinstance(left, int) or isinstance(right, _Field):
        raise cursor.refused("a field on one side and a number on the other", at=right_at)
    try:
        return FIELDS[left.key](Relation(sign, right, left.mask, left.full))
    except NeverTrueError:
        raise cursor.refused("a number that the field can have", "no packet is such", at) from None
    except UnsupportedRelationError as error:
        raise cursor.refused(str(error), "this cannot be asked for by iptables", at) from None


def _operand(cursor: Cursor, level: int = 0) -> _Operand:
    if level == len(_LEVELS):
        return _atom(cursor)
    at = cursor.at
    left = _operand(cursor, level + 1)
    while sign := cursor.take(_LEVELS[level]):
        left = _applied(cursor, at, sign, left, _operand(cursor, level + 1))
    return left


def _applied(cursor: Cursor, at: int, sign: str, left: _Operand, right: _Operand) -> _Operand:
    if isinstance(left, int) and isinstance(right, int):
        if (sign == "/" and not right) or (sign in {"<<", ">>"} and right > 31):
            raise cursor.refused("another number behind it", f"{left} {sign} {right} is no number", at)
        return _OPERATIONS[sign](left, right) & _BITS
    if sign != "&" or isinstance(left, int) or isinstance(right, _Field):
        # With a number before "& field", libpcap loses the protocol of the field.
        raise cursor.refused("a field alone, or with & and a number behind it", "rules cannot reckon with fields", at)
    return _Field(left.key, left.mask & right)


def _atom(cursor: Cursor) -> _Operand:
    if cursor.take(_OPEN):
        with cursor.inside():
            inner = _operand(cursor)
        cursor.need(_CLOSE, ") or one of & | + - * / << >>")
        return inner
    if cursor.sees(_NUMBER):
        return _constant(cursor)
    at, word = cursor.at, cursor.take(_WORD)
    if word in CONSTANTS:
        return CONSTANTS[word]
    if word == LENGTH[0]:
        return _Field(LENGTH, _BITS)
    if not word or not cursor.take(_BRACKET):
        raise cursor.refused(_OPERAND, at=at)
    return _bracketed(cursor, at, word)


def _constant(cursor: Cursor) -> int:
    found = number(cursor.sees(_NUMBER), _BITS)
    if found is None:
        raise cursor.refused("a number up to 0xffffffff, without a 0 in front")
    cursor.take(_NUMBER)
    return found


def _bracketed(cursor: Cursor, at: int, word: str) -> _Field:
    with cursor.inside():
        first = _operand(cursor)
        size = _operand(cursor) if cursor.take(_COLON) else 1
    cursor.need(_END, "] or :")
    key = (word, first, size)
    if isinstance(first, int) and isinstance(size, int) and key in FIELDS:
        field = (word, first, size)
        return _Field(field, (1 << 8 * size) - 1)
    raise cursor.refused(_FIELDS, "no match of iptables reads this", at)
