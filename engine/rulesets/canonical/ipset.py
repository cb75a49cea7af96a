"""Canonical form of ipsets, so that two sets with the same meaning compare as equal.

Input: an :class:`IpSet`. Output: the set with explicit family, with create options sorted and without defaults, and
with elements in one notation. The order and the options of members (such as ``nomatch``) are kept.

Source: ipset(8), and what ``ipset save`` of ipset 7.17 to 7.24 prints.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

from engine.rulesets.canonical.numbers import (
    address_word,
    masked,
    masked_word,
    number,
    port,
    protocol_number,
    protocol_word,
)
from engine.rulesets.model import Family, IpSet, Member

_WITHOUT_FAMILY = frozenset({"hash:mac", "list:set"})
_DEFAULTS: Mapping[str, str] = {"maxelem": "65536", "markmask": "0xffffffff", "size": "8"}
_MOST = 0xFFFFFFFF


def canonical_set(item: IpSet) -> IpSet:
    """Return the canonical form of a set and its members, the set itself where it is canonical."""
    found = canonical_header(item)
    members = tuple([canonical_member(member, found) for member in item.members])
    return found if members == found.members else replace(found, members=members)


def canonical_header(item: IpSet) -> IpSet:
    """Return a set with its family and create options in canonical form, and its members as they are."""
    family = item.family
    if family is None and item.type.startswith("hash:") and item.type not in _WITHOUT_FAMILY:
        family = Family.IPV4
    options = tuple(sorted((name, _option(value)) for name, value in item.options))
    options = tuple(option for option in options if _DEFAULTS.get(option[0]) != option[1])
    return item if (family, options) == (item.family, item.options) else replace(item, family=family, options=options)


def _option(value: str) -> str:
    try:
        found = number(value, _MOST)
    except ValueError:
        return value
    return f"{found:#x}" if value[:2].lower() == "0x" else str(found)


def canonical_member(member: Member, item: IpSet) -> Member:
    """Return a member of a set of a type and family with its element in canonical spelling."""
    kind, _, dimensions = item.type.partition(":")
    if kind != "hash":
        return member
    words = member[0].split(",")
    reads = [_READS.get(dimension) for dimension in dimensions.split(",")]
    if len(words) != len(reads):
        return member
    family = item.family or Family.IPV4
    try:
        found = ",".join(read(word, family) if read else word for word, read in zip(words, reads, strict=True))
    except ValueError:
        return member
    return member if found == member[0] else (found, *member[1:])


def _network(text: str, family: Family) -> str:
    if "-" in text:
        return text  # a range, which ipset takes apart
    address, mask = masked(text, family)
    word = masked_word((address, mask), family)
    single = "/32" if family is Family.IPV4 else "/128"
    return address_word(address, family) if word.endswith(single) else word


def _port(text: str, _family: Family) -> str:
    protocol, colon, rest = text.rpartition(":")
    if not rest.isalnum() or not colon:
        return f"tcp:{port(text)}" if not colon and "-" not in text else text
    return f"{protocol_word(protocol_number(protocol))}:{port(rest)}"


def _mac(text: str, _family: Family) -> str:
    return text.upper()


_READS: Mapping[str, Callable[[str, Family], str]] = {"ip": _network, "net": _network, "port": _port, "mac": _mac}
"""How each dimension of an element is read; others keep their words."""
