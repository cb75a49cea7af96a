"""Reads the kernel's connection table, and deletes the entries that new rules no longer admit.

Input: a :class:`Runner`, which starts programs in a network namespace; for a deletion, also the applied
:class:`Ruleset`. Output: :class:`TrackedFlow` values (entries of the table), or the number of deleted entries.

Raises ``KernelError`` if the program conntrack or ip is missing or fails. Sources: conntrack(8) of conntrack-tools,
ip-route(8), ip-address(8).
"""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address

from pydantic import BaseModel, TypeAdapter

from adapters.system.process import Runner
from engine.errors import KernelRefused
from engine.rulesets.model import Family, Ruleset
from simulator.analysis.stale_connections import TrackedFlow, no_longer_admitted
from simulator.packets import Address, protocol_names

_FAMILIES = {Family.IPV4: "ipv4", Family.IPV6: "ipv6"}
_WORD = re.compile(r"(\w+)=(\S+)")


class _Info(BaseModel):
    """One address of an interface."""

    local: str | None = None


class _Interface(BaseModel):
    """Interface in the output of ``ip -json address``; only the fields in use."""

    addr_info: tuple[_Info, ...] = ()


class _Way(BaseModel):
    """Route in the output of ``ip -json route get``; only the fields in use."""

    dev: str = ""


_INTERFACES = TypeAdapter(list[_Interface])
_WAYS = TypeAdapter(list[_Way])


@dataclass(frozen=True, slots=True)
class ConnectionTable:
    """Connection table of the runner's network namespace."""

    runner: Runner

    def flows(self) -> tuple[TrackedFlow, ...]:
        """Return all entries, sorted.

        Raises:
            KernelError: conntrack is missing or failed.
        """
        found: list[TrackedFlow] = []
        for family in _FAMILIES.values():
            words = ["conntrack", "-L", "-f", family, "-o", "extended"]
            found += parsed(self.runner.run(words).or_refused("conntrack"))
        return tuple(sorted(found, key=repr))

    def forget(self, flows: Iterable[TrackedFlow]) -> int:
        """Delete entries, and return their number without those that have ended meanwhile."""
        gone = 0
        for flow in flows:
            done = self.runner.run(["conntrack", "-D", *_words(flow)])
            done.check_privileges("conntrack")
            if done.status and "0 flow entries have been deleted" not in done.err:
                raise KernelRefused("conntrack", done.status, done.err or done.out)
            gone += done.status == 0
        return gone

    def enforce(self, rules: Ruleset) -> int:
        """Delete the entries of this Node's own connections that ``rules`` no longer admit; return their number."""
        own = frozenset(self._own())
        ways: dict[Address, str] = {}

        def route(address: Address) -> str:
            if address not in ways:
                ways[address] = self._interface(address)
            return ways[address]

        return self.forget(no_longer_admitted(self.flows(), rules, own, route))

    def _own(self) -> Iterator[Address]:
        text = self.runner.run(["ip", "-json", "address", "show"]).or_refused("ip")
        for interface in _INTERFACES.validate_json(text or json.dumps([])):
            yield from (ip_address(info.local) for info in interface.addr_info if info.local)

    def _interface(self, address: Address) -> str:
        done = self.runner.run(["ip", "-json", "route", "get", str(address)])
        if done.status:  # no route to the address, so the interface is unknown
            return ""
        return next((way.dev for way in _WAYS.validate_json(done.out)), "")


def parsed(text: str) -> Iterator[TrackedFlow]:
    """Parse the output of ``conntrack -L -o extended``; lines without a protocol number or source are skipped."""
    for line in text.splitlines():
        words = line.split()
        pairs = _WORD.findall(line)
        first = dict(reversed([pair for pair in pairs if pair[0] not in _LATER]))
        answer = dict([pair for pair in pairs if pair[0] in {"src", "dst", "sport", "dport"}])
        if len(words) < 4 or not words[3].isdecimal() or "src" not in first:
            continue
        yield TrackedFlow(
            protocol=int(words[3]),
            src=ip_address(first["src"]),
            dst=ip_address(first["dst"]),
            answer_src=ip_address(answer["src"]),
            answer_dst=ip_address(answer["dst"]),
            sport=_number(first, "sport"),
            dport=_number(first, "dport"),
            answer_sport=_number(answer, "sport"),
            icmp=(int(first["type"]), int(first["code"]), int(first["id"])) if "type" in first else None,
            zone=int(first.get("zone", "0")),
        )


_LATER = frozenset({"mark", "use", "secctx", "timeout"})
"""Keys after both directions, which do not identify an entry."""


def _number(words: dict[str, str], key: str) -> int | None:
    return int(words[key]) if key in words else None


def _words(flow: TrackedFlow) -> Iterator[str]:
    """Yield the conntrack options that select exactly one entry."""
    family = Family.IPV4 if flow.src.version == 4 else Family.IPV6
    yield from (
        "-f",
        _FAMILIES[family],
        "-p",
        protocol_names.protocol_name(flow.protocol, family).replace("ipv6-icmp", "icmpv6"),
    )
    yield from ("-s", str(flow.src), "-d", str(flow.dst), "-r", str(flow.answer_src), "-q", str(flow.answer_dst))
    if flow.protocol in protocol_names.PORT_PROTOCOLS:
        yield from ("--sport", str(flow.sport), "--dport", str(flow.dport))
    if flow.icmp is not None:
        kind, code, identifier = flow.icmp
        yield from ("--icmp-type", str(kind), "--icmp-code", str(code), "--icmp-id", str(identifier))
    yield from ("-w", str(flow.zone))
