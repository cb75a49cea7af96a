"""What a node is seen to have: its network interfaces, and the DNS servers it uses.

Sources: ip-link(8), ip-netns(8), resolv.conf(5).
"""

import json
from ipaddress import ip_address
from pathlib import Path

from pydantic import BaseModel, TypeAdapter

from adapters.process import Runner
from engine.events import HostObserved

RESOLV_CONF = Path("/etc/resolv.conf")
UPSTREAM = Path("/run/systemd/resolve/resolv.conf")
"""Where systemd-resolved lists the servers that it asks itself."""
NETNS_FOLDER = Path("/etc/netns")

_MOST = 3  # the resolver library reads no more


class _Link(BaseModel):
    """What ``ip -json link`` says of an interface, as far as it is used."""

    ifname: str


_LINKS = TypeAdapter(list[_Link])


def observe(node: str, runner: Runner, netns: str = "") -> HostObserved:
    """Return what a node has, as seen in a network namespace.

    A namespace other than the machine's own has the DNS servers that ip-netns(8) keeps for it; the machine's are not
    taken for its own.

    Raises:
        KernelError: ip is not there, or failed.
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
    """Return the DNS servers that the text of a resolv.conf names, in its order, but for those on this machine."""
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
