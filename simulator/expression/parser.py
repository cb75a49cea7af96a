"""Recursive-descent parser of EXPR, the syntax of pcap-filter(7) with extensions.

`parse` turns text into an `Expression` or raises `WordsRefused` with the position of the fault. ``and`` and ``or`` have
the same precedence and associate to the left; ``not`` binds tighter. A keyword such as ``src`` applies to all values
after it, until the next keyword. A group in parentheses restores the keywords from before it.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from engine.errors import WordsRefused, safe_text
from engine.rulesets.model import Family
from simulator.expression import leaves
from simulator.expression.arithmetic import begins_relation, relation
from simulator.expression.ast import EVERYTHING, AllOf, AnyOf, Expression, Negated, all_of, any_of
from simulator.expression.cursor import Cursor
from simulator.expression.primitives import BOTH, EITHER, EXTENSIONS, Qualifiers, number
from simulator.expression.relations import FIELDS, LENGTH, NeverTrueError, Relation
from simulator.expression.vocabulary import FAMILIES, PROTOCOLS, UNSUPPORTED_WORDS

_WORD_END = r"(?![\w.:/-])"
"""Characters that may not follow a keyword, because they would make it another word."""

_AND = re.compile(rf"and{_WORD_END}|&&")
_JOINT = re.compile(rf"(?:and|or){_WORD_END}|&&|\|\|")
_NOT = re.compile(rf"not{_WORD_END}|!(?!=)")
_OPEN, _CLOSE = re.compile(r"\("), re.compile(r"\)")
_BETWEEN = r"(?:\s+(?:or|and)\s+|\s*(?:\|\||&&)\s*)"
_PAIR = re.compile(rf"(?:src{_BETWEEN}dst|dst{_BETWEEN}src){_WORD_END}")
_SIDE = re.compile(rf"(?:src|dst){_WORD_END}")
_KIND = re.compile(rf"(?:host|net|portrange|port|proto){_WORD_END}")
_EXTENSION = re.compile(rf"(?:{'|'.join(sorted(EXTENSIONS))}){_WORD_END}")
_PROTOCOL = re.compile(rf"(?:{'|'.join(sorted((*PROTOCOLS, *FAMILIES), key=len, reverse=True))}){_WORD_END}")
_BOUND = re.compile(rf"(?:less|greater){_WORD_END}")
_MULTICAST = re.compile(rf"multicast{_WORD_END}")

_TERM = (
    "one of not, (, src, dst, host, net, port, portrange, proto, ip, ip6, tcp, udp, sctp, icmp, icmp6, less, greater, "
    "len, in, out, ctstate, mark, or a field such as tcp[tcpflags]"
)
_JOINED = "and, or, or the end"
_SIDED = frozenset({"host", "net", "port", "portrange"})
_FAMILIAR = frozenset({"host", "net", "proto"})


def parse(text: str) -> Expression:
    """Parse an expression; an empty one matches every packet.

    Raises:
        WordsRefused: The text is not an expression. The error has the position and what was expected there.
    """
    cursor = Cursor(text)
    if cursor.ended():
        return EVERYTHING
    expression, _ = _sequence(cursor, None)
    if not cursor.ended():
        raise cursor.refused(_JOINED)
    return expression


@dataclass(slots=True)
class _Row:
    """Parts joined so far; a different operator nests them as the first part of a new row."""

    parts: list[Expression]
    joint: type[AllOf | AnyOf] = AllOf
    switches: int = 0

    def add(self, joint: type[AllOf | AnyOf], part: Expression) -> None:
        if len(self.parts) > 1 and joint is not self.joint:
            self.parts = [self.joined()]
            self.switches += 1
        self.joint = joint
        self.parts.append(part)

    def joined(self) -> Expression:
        return (all_of if self.joint is AllOf else any_of)(*self.parts)


def _joined(cursor: Cursor, read: Callable[[], Expression]) -> Expression:
    """Parse parts and the operators between them; a change of operator nests the earlier parts."""
    row = _Row([read()])
    while joint := cursor.take(_JOINT):
        row.add(AllOf if _AND.match(joint) else AnyOf, read())
        cursor.check_depth(row.switches)
    return row.joined()


def _sequence(cursor: Cursor, asked: Qualifiers | None) -> tuple[Expression, Qualifiers | None]:
    """Parse terms and the operators between them; return the expression and the keywords that still apply."""

    def term() -> Expression:
        nonlocal asked
        part, asked = _term(cursor, asked)
        return part

    return _joined(cursor, term), asked


def _term(cursor: Cursor, asked: Qualifiers | None) -> tuple[Expression, Qualifiers | None]:
    if cursor.take(_NOT):
        with cursor.inside():
            part, asked = _term(cursor, asked)
        return Negated(part), asked
    if begins_relation(cursor):
        return relation(cursor), None
    if cursor.take(_OPEN):
        with cursor.inside():
            part, _ = _sequence(cursor, asked)
        cursor.need(_CLOSE, "), and, or")
        return part, asked
    return _primitive(cursor, asked)


def _primitive(cursor: Cursor, asked: Qualifiers | None) -> tuple[Expression, Qualifiers | None]:
    if word := cursor.take(_BOUND):
        return _bound(cursor, word), None
    if word := cursor.take(_EXTENSION):
        own = Qualifiers(word)
        return _ids(cursor, own), own
    start = cursor.at
    protocol = cursor.take(_PROTOCOL)
    if protocol in FAMILIES and cursor.take(_MULTICAST):
        return _multicast(FAMILIES[protocol]), None
    direction, kind = _direction(cursor), cursor.take(_KIND)
    if direction or kind:
        found = _checked_qualifiers(cursor, start, protocol, direction, kind)
        return _ids(cursor, found), found
    if protocol:
        return _alone(cursor, protocol), None
    if asked is None or cursor.run in UNSUPPORTED_WORDS:
        raise _unexpected(cursor)
    return _inherited_id(cursor, asked), asked


def _inherited_id(cursor: Cursor, asked: Qualifiers) -> Expression:
    """Parse an id whose keywords come from an earlier primitive; the error lists other keywords too."""
    start = cursor.at
    try:
        return asked.read(cursor)
    except WordsRefused as error:
        (fault,) = error.faults
        raise cursor.refused(f"{fault.expected}; or {_TERM}", fault.problem, start) from None


def _alone(cursor: Cursor, protocol: str) -> Expression:
    if cursor.run in UNSUPPORTED_WORDS:
        raise _unexpected(cursor)
    if protocol in FAMILIES:
        return leaves.of_family(FAMILIES[protocol])
    return leaves.of_protocol(*PROTOCOLS[protocol])


def _unexpected(cursor: Cursor) -> WordsRefused:
    reason = UNSUPPORTED_WORDS.get(cursor.run)
    return cursor.refused(_TERM, f"found {safe_text(cursor.run)}; {reason}" if reason else "")


def _direction(cursor: Cursor) -> str:
    if pair := cursor.take(_PAIR):
        return BOTH if "and" in pair or "&&" in pair else EITHER
    return cursor.take(_SIDE)


def _checked_qualifiers(cursor: Cursor, start: int, protocol: str, direction: str, kind: str) -> Qualifiers:
    """Refuse keywords that cannot be combined; the default kind is ``host``."""
    kind = kind or "host"
    if direction and kind not in _SIDED:
        raise cursor.refused("host, net, port or portrange behind src and dst", f"{kind} has no direction", start)
    if protocol and protocol not in (FAMILIES if kind in _FAMILIAR else leaves.PORTED):
        allowed = ", ".join(FAMILIES if kind in _FAMILIAR else leaves.PORTED)
        raise cursor.refused(f"one of {allowed} or nothing", f"{protocol} does not go with {kind}", start)
    return Qualifiers(kind, direction or EITHER, protocol)


def _ids(cursor: Cursor, asked: Qualifiers) -> Expression:
    """Parse the ids after keywords: one id, a negated one, or several in parentheses."""
    if cursor.take(_NOT):
        with cursor.inside():
            return Negated(_ids(cursor, asked))
    if not cursor.take(_OPEN):
        return asked.read(cursor)
    with cursor.inside():
        part = _joined(cursor, lambda: _ids(cursor, asked))
    cursor.need(_CLOSE, "), and, or")
    return part


def _bound(cursor: Cursor, word: str) -> Expression:
    """Parse ``less`` or ``greater``; both include the number."""
    at, most = cursor.at, number(cursor.run, 0xFFFFFFFF)
    if most is None:
        raise cursor.refused("a number of bytes")
    cursor.take_run()
    try:
        return FIELDS[LENGTH](Relation("<=" if word == "less" else ">=", most, 0xFFFFFFFF, 0xFFFFFFFF))
    except NeverTrueError:
        raise cursor.refused("a number of bytes up to 65535", "no packet is that long", at) from None


def _multicast(family: Family) -> Expression:
    """Return multicast as libpcap defines it: in IPv4 every destination from 224.0.0.0 on."""
    return leaves.of_network("dst", leaves.MULTICAST[family])
