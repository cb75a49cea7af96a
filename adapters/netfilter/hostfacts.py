"""Observed facts of a Node: network interfaces, addresses, routes and DNS servers.

Input: a :class:`Runner`, which starts ip(8) in a network namespace, and the text of resolv.conf. Output: a
:class:`HostObserved` event body (interfaces and DNS servers), or a :class:`Host` (addresses and routes) for the
simulator.

Raises ``KernelError`` if ip is missing or fails, and ``Refused`` if a text is not output of ip. Sources: ip-link(8),
ip-address(8), ip-route(8), ip-netns(8), resolv.conf(5).
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address, ip_interface, ip_network
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, IPvAnyAddress, TypeAdapter, ValidationError

from adapters.system.process import Runner
from engine.errors import Fault, Refused, safe_text
from engine.events import HostObserved
from engine.rulesets.model import Family
from simulator.context import Host, Route

RESOLV_CONF = Path("/etc/resolv.conf")
UPSTREAM = Path("/run/systemd/resolve/resolv.conf")
"""File in which systemd-resolved lists its upstream servers."""
NETNS_FOLDER = Path("/etc/netns")

_MOST = 3  # name servers that the resolver library reads


class _Link(BaseModel):
    """Interface in the output of ``ip -json link``; only the field in use."""

    ifname: str


_LINKS = TypeAdapter(list[_Link])


class _Address(BaseModel):
    local: IPvAnyAddress
    prefixlen: int


class _Addressed(_Link):
    """Interface in the output of ``ip -json address``; a deleted interface has no name."""

    ifname: str = ""
    addr_info: tuple[_Address, ...] = ()


class _Hop(BaseModel):
    dev: str = ""


class _Route(_Hop):
    """Route in the output of ``ip -json route``; a route without an interface rejects its packets."""

    dst: str
    nexthops: tuple[_Hop, ...] = ()


_ADDRESSED = TypeAdapter(list[_Addressed])
_ROUTES = TypeAdapter(list[_Route])
_EVERYWHERE, _EVERYWHERE_6 = "0.0.0.0/0", "::/0"
_COMMANDS = {
    ("ip", "-json", "address", "show"): Family.IPV4,
    ("ip", "-json", "-4", "route", "show"): Family.IPV4,
    ("ip", "-json", "-6", "route", "show"): Family.IPV6,
}

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class IpOutput:
    """JSON output of ip, its source for errors, and the family of its routes."""

    text: str
    source: str
    family: Family = Family.IPV4


def host_of(addresses: IpOutput, *routes: IpOutput) -> Host:
    """Parse a Node's addresses and routes from the output of ``ip -json address`` and ``ip -json route``.

    A route with several next hops keeps only the first.

    Raises:
        Refused: a text is not such output.
    """
    expected = "what ip -json address prints"
    links = _read(_ADDRESSED, addresses, expected)
    try:
        own = {
            link.ifname: tuple(ip_interface(f"{each.local}/{each.prefixlen}") for each in link.addr_info)
            for link in links
        }
    except ValueError as error:
        raise Refused((Fault(addresses.source, f"found {safe_text(str(error))}", expected),)) from None
    return Host(own, tuple(route for text in routes for route in _routes(text)))


def _routes(text: IpOutput) -> Iterator[Route]:
    expected = "what ip -json route prints, or ip -json -6 route"
    for each in _read(_ROUTES, text, expected):
        to = (_EVERYWHERE_6 if text.family is Family.IPV6 else _EVERYWHERE) if each.dst == "default" else each.dst
        try:
            network = ip_network(to)
        except ValueError as error:
            raise Refused((Fault(text.source, f"found destination {safe_text(to)}", expected),)) from error
        yield Route(network, each.dev or next((hop.dev for hop in each.nexthops), ""))


def _read(kind: TypeAdapter[list[T]], text: IpOutput, expected: str) -> list[T]:
    try:
        return kind.validate_json(text.text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise Refused((Fault(text.source, f"{where}: {first['msg']}".removeprefix(": "), expected),)) from error


def observe_host(runner: Runner) -> Host:
    """Return the addresses and routes of the runner's network namespace.

    Raises:
        KernelError: ip is missing or failed.
    """
    return host_of(
        *(IpOutput(runner.run(words).or_refused("ip") or "[]", "ip", family) for words, family in _COMMANDS.items())
    )


def observe(node: str, runner: Runner, netns: str = "") -> HostObserved:
    """Return the interfaces and DNS servers of a Node, observed in a network namespace.

    A named namespace has the DNS servers of ``/etc/netns/NAME/resolv.conf``, see ip-netns(8). It does not inherit
    those of the machine.

    Raises:
        KernelError: ip is missing or failed.
    """
    words = ["ip", "-json", "link", "show"]
    links = _LINKS.validate_json(runner.run(words).or_refused("ip") or json.dumps([]))
    return HostObserved(node=node, interfaces=tuple(sorted(link.ifname for link in links)), resolvers=_resolvers(netns))


def _resolvers(netns: str) -> tuple[str, ...]:
    if netns:
        return servers_of(_text(NETNS_FOLDER / netns / "resolv.conf"))
    text = _text(RESOLV_CONF)
    return servers_of(text) or servers_of(_text(UPSTREAM))


def servers_of(text: str) -> tuple[str, ...]:
    """Return the DNS servers in the text of a resolv.conf, in its order, without loopback addresses."""
    found: list[str] = []
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] == "nameserver" and len(found) < _MOST:
            found.append(words[1].partition("%")[0])
    return tuple(dict.fromkeys(address for text in found if (address := _elsewhere(text))))


def _elsewhere(text: str) -> str:
    try:
        address = ip_address(text)
    except ValueError:
        return ""
    return "" if address.is_loopback else str(address)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
