"""Turns a parsed packet filter (`Expression`) back into text of the filter language EXPR.

Parsing that text gives the same expression again. Raises `KeyError` for an expression with an iptables match that the
language cannot express.
"""

from collections.abc import Callable, Mapping

from engine.rulesets.model import Family, Match
from simulator.expression import leaves
from simulator.expression.ast import AllOf, AnyOf, Expression, Leaf, Negated
from simulator.expression.vocabulary import FAMILIES
from simulator.matches.transport import flag_mask
from simulator.packets import TCP_FLAGS, protocol_names

_WORD_OF: Mapping[Family | None, str] = {None: "", **{family: word for word, family in FAMILIES.items()}}


def expression_text(expression: Expression) -> str:
    """Return the EXPR text of an expression.

    Raises:
        KeyError: A leaf has matches that no primitive produces.
    """
    match expression:
        case Leaf():
            return _leaf(expression)
        case Negated(part):
            return f"not {_enclosed(part)}"
        case AllOf(parts):
            return " and ".join(map(_enclosed, parts))
        case AnyOf(parts):
            return " or ".join(map(_enclosed, parts))


def _enclosed(part: Expression) -> str:
    return f"({expression_text(part)})" if isinstance(part, AllOf | AnyOf) else expression_text(part)


def _leaf(leaf: Leaf) -> str:
    """Write a leaf by its last match; a match before it is only its protocol."""
    if not leaf.matches:
        return _WORD_OF[leaf.family]
    last = leaf.matches[-1]
    if leaf.family is Family.IPV4 and last.module in {"tcp", "ecn"}:
        return _flags(leaf.matches)
    return _SPELLED[last.module, last.option](last, leaf.family)


def _flags(matches: tuple[Match, ...]) -> str:
    mask = wanted = 0
    for match in matches[1:]:
        if match.option == "tcp-flags":
            examined, found = flag_mask(match.values)
            mask, wanted = mask | _bits(examined), wanted | _bits(found)
        elif match.module == "ecn":
            bit = leaves.ECN_BITS[match.option]
            mask, wanted = mask | bit, wanted | (0 if match.negated else bit)
    return f"tcp[tcpflags] & {mask:#04x} == {wanted:#04x}" if mask else "tcp[tcpflags] >= 0"


def _bits(flags: frozenset[str]) -> int:
    return sum(1 << place for place, flag in enumerate(TCP_FLAGS) if flag in flags)


def _side(word: str) -> Callable[[Match, Family | None], str]:
    def text(match: Match, _family: Family | None) -> str:
        address, _, mask = match.values[0].partition("/")
        if "." in mask:
            return f"{word} net {address} mask {mask}"
        whole = mask == ("128" if ":" in address else "32")
        return f"{word} host {address}" if whole else f"{word} net {address}/{mask}"

    return text


def _protocol(match: Match, family: Family | None) -> str:
    return f"{_WORD_OF[family]} proto {protocol_names.protocol_number(match.values[0])}".lstrip()


def _port(name: str, side: str) -> Callable[[Match, Family | None], str]:
    def text(match: Match, _family: Family | None) -> str:
        low, colon, high = match.values[0].partition(":")
        return f"{name} {side} portrange {low}-{high}" if colon else f"{name} {side} port {low}"

    return text


def _icmp(name: str) -> Callable[[Match, Family | None], str]:
    def text(match: Match, _family: Family | None) -> str:
        if not match.values:
            return f"{name}[{name}type] >= 0"
        kind, slash, code = match.values[0].partition("/")
        return f"{name}[0:2] == {int(kind) << 8 | int(code):#06x}" if slash else f"{name}[{name}type] == {kind}"

    return text


def _length(match: Match, _family: Family | None) -> str:
    low, colon, high = match.values[0].partition(":")
    if not colon:
        return f"len == {low}"
    return f"len >= {low}" if int(high) == leaves.MOST_LENGTH else f"len <= {high}"


def _field(field: str, sign: str) -> Callable[[Match, Family | None], str]:
    return lambda match, _family: f"{field} {sign} {match.values[0]}"


def _tos(match: Match, _family: Family | None) -> str:
    value, _, mask = match.values[0].partition("/")
    return f"ip[1] & {mask} == {value}"


def _named(word: str) -> Callable[[Match, Family | None], str]:
    return lambda match, _family: f"{word} {match.values[0]}"


_HOPS: Mapping[Family, str] = {Family.IPV4: "ip[8]", Family.IPV6: "ip6[7]"}
_SIGNS: Mapping[str, str] = {"eq": "==", "lt": "<", "gt": ">"}

_SPELLED: Mapping[tuple[str, str], Callable[[Match, Family | None], str]] = {
    **{("", option): _side(word) for word, option in leaves.SIDES.items()},
    ("", "protocol"): _protocol,
    ("", "fragment"): lambda _match, _family: "ip[6:2] & 0x1fff != 0",
    ("", "in-interface"): _named("in"),
    ("", "out-interface"): _named("out"),
    **{(name, option): _port(name, side) for name in leaves.PORTED for side, option in leaves.PORT_OPTIONS.items()},
    **{
        (module, option): _icmp(module)
        for family, module in leaves.ICMP_MODULES.items()
        for option in ("", leaves.ICMP_OPTIONS[family])
    },
    ("length", "length"): _length,
    **{
        (module, f"{module}-{relation}"): _field(_HOPS[family], sign)
        for family, module in leaves.TTL_MODULES.items()
        for relation, sign in _SIGNS.items()
    },
    ("tos", "tos"): _tos,
    ("conntrack", "ctstate"): lambda match, _family: f"ctstate {match.values[0].lower()}",
    ("mark", "mark"): _named("mark"),
}
"""Writers of a leaf's last match, by module and option."""
