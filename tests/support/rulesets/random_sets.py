"""Draws random sets of every type, the rules that ask them, and packets at their edges; all from a seed."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from engine.rulesets.model import Family, IpSet, Member
from simulator.packets import Address, Packet, from_wire, protocol_names, to_wire
from simulator.sets.set_types import KINDS, SetDimension, SetType
from tests.support.policies.random_clusters import ADDRESSES

GATEWAY = "02:00:00:00:00:02"
INTERFACES = ("eth0", "eth1")

_NEAR = {
    Family.IPV4: ("10.1.2.0", "10.1.2.3", "10.1.2.4", "10.1.2.255", "10.1.3.0", "10.2.0.1", "172.16.0.9", "11.0.0.0"),
    Family.IPV6: ("fd00:1:2::", "fd00:1:2::3", "fd00:1:2::4", "fd00:1:2:1::", "fd00:1:3::", "fd00:2::1", "fdff::9"),
}
_LENGTHS = {Family.IPV4: (1, 8, 15, 16, 23, 24, 30, 31, 32), Family.IPV6: (1, 16, 32, 47, 48, 64, 126, 127, 128)}
_PORTS = (0, 1, 79, 80, 81, 443, 65535)
_TRANSPORTS = (protocol_names.TCP, protocol_names.UDP, protocol_names.SCTP, protocol_names.UDPLITE)
_ICMP = {Family.IPV4: ((8, 0), (0, 0), (13, 0), (8, 1)), Family.IPV6: ((128, 0), (129, 0), (128, 1))}
_ICMP_TEXTS = {
    Family.IPV4: ("icmp:echo-request", "icmp:8/1", "icmp:pong", "icmp:timestamp-request"),
    Family.IPV6: ("icmpv6:echo-request", "icmpv6:128/1", "ipv6-icmp:129/0"),
}
_OTHERS = {Family.IPV4: (47, 50, 253, protocol_names.DCCP), Family.IPV6: (47, 253, protocol_names.DCCP)}
_FACES = ("eth0", "eth1", "eth", "e", "eth00", "lo", "physdev:eth0")
_MACS = (GATEWAY, GATEWAY, "02:00:00:00:00:03", "02:00:00:00:00:01")


def own(family: Family) -> list[Address]:
    """Return the Node's addresses of a family."""
    width = IPv4Address if family is Family.IPV4 else IPv6Address
    return [address for address in map(ip_address, ADDRESSES) if isinstance(address, width)]


@dataclass(frozen=True, slots=True)
class SetDice:
    """Draws sets, matches on them and packets of one family."""

    dice: random.Random
    family: Family

    def sets(self, offered: list[str]) -> tuple[IpSet, ...]:
        """Draw a set of each offered type; the last two are lists of the others."""
        found = [self.set(name, f"s{at}") for at, name in enumerate(offered) if name != "list:set"]
        if self.family is Family.IPV6:  # a list may hold sets of both families
            found.append(IpSet("other", "hash:ip", Family.IPV4, (("10.1.2.3",),)))
        named = [item.name for item in found]
        for name in ("l0", "l1"):
            chosen = self.dice.sample(named, min(len(named), 3))
            options = self._options(KINDS["list:set"])
            found.append(
                IpSet(name, "list:set", None, tuple(self._extended((each,), options) for each in chosen), options)
            )
        return tuple(found)

    def set(self, type_: str, name: str) -> IpSet:
        """Draw a set of type ``type_``."""
        kind = KINDS[type_]
        options = self._options(kind)
        members: dict[str, Member] = {}
        for _ in range(self.dice.randrange(12)):
            text = self._element(kind)
            if self._is_unfit(text, kind, dict(options)):
                continue
            flags = ("nomatch",) if kind.exceptions and self.dice.random() < 0.35 else ()
            if kind.parts[-1] is SetDimension.IFACE and self.dice.random() < 0.3:
                flags = (*flags, "wildcard")
            # A second member of bitmap:ip,mac with the same address would also change other parts of the first one.
            told = text.partition(",")[0] if kind.bitmap else text
            members[told] = self._extended((text, *flags), options)
        family = None if kind.bitmap or kind.of_both_families else self.family
        return IpSet(name, type_, family, tuple(members.values()), options)

    def _is_unfit(self, text: str, kind: SetType, options: dict[str, str]) -> bool:
        """Return True for an address that the mask does not suit.

        ipset refuses an address if the bitmask clears all its bits, and it masks only the first address of a range.
        """
        address, mask = text.partition(",")[0], options.get("bitmask")
        if mask is None:
            return "netmask" in options and "/" in address and kind.parts == (SetDimension.IP, SetDimension.PORT)
        return "/" in address or not int(ip_address(address)) & int(ip_address(mask))

    def _options(self, kind: SetType) -> tuple[tuple[str, str], ...]:
        found: list[tuple[str, str]] = []
        if kind.bitmap:
            found.append(("range", "0-65535" if kind.parts == (SetDimension.PORT,) else "10.1.0.0-10.1.255.255"))
        if (
            kind.parts in {(SetDimension.IP,), (SetDimension.IP, SetDimension.PORT)}
            and not kind.bitmap
            and self.dice.random() < 0.5
        ):
            found.append(self._masking())
        if kind.parts == (SetDimension.IP,) and kind.bitmap and self.dice.random() < 0.5:
            found.append(("netmask", self.dice.choice(("24", "30", "31"))))
        for word, share in (("counters", 0.4), ("comment", 0.3), ("skbinfo", 0.3)):
            found += [(word, "")] if self.dice.random() < share else []
        found += [("timeout", self.dice.choice(("0", "86400")))] if self.dice.random() < 0.3 else []
        return tuple(found)

    def _masking(self) -> tuple[str, str]:
        masks = {Family.IPV4: ("255.0.255.255", "0.0.0.255"), Family.IPV6: ("ffff:ffff::ffff", "::ffff")}
        if self.dice.random() < 0.5:
            return "bitmask", self.dice.choice(masks[self.family])
        return "netmask", str(self.dice.choice(_LENGTHS[self.family][1:-1]))

    def _extended(self, member: Member, options: tuple[tuple[str, str], ...]) -> Member:
        words = list(member)
        with_options = {word for word, _ in options}
        if "timeout" in with_options and self.dice.random() < 0.5:
            words += ["timeout", self.dice.choice(("0", "3600"))]
        if "counters" in with_options and self.dice.random() < 0.5:
            words += ["packets", str(self.dice.randrange(3)), "bytes", str(self.dice.randrange(200))]
        if "comment" in with_options and self.dice.random() < 0.5:
            words += ["comment", self.dice.choice(("it's", "a \\ b", "näé", "nomatch", "x" * 255))]
        if "skbinfo" in with_options and self.dice.random() < 0.5:
            words += [
                "skbmark",
                self.dice.choice(("0x5", "0x5/0xff", "0xffffffff/0xf0")),
                "skbprio",
                "1:2",
                "skbqueue",
                "3",
            ]
        return tuple(words)

    def _element(self, kind: SetType) -> str:
        texts = [self._text(part, kind, first=not at) for at, part in enumerate(kind.parts)]
        if kind.bitmap and kind.compares_last and self.dice.random() < 0.5:
            texts.pop()
        return ",".join(texts)

    def _text(self, part: SetDimension, kind: SetType, *, first: bool) -> str:
        match part:
            case SetDimension.IP:
                return self._address(kind, ranges=first)
            case SetDimension.NET:
                return self._network(kind)
            case SetDimension.PORT:
                return self._port(kind)
            case SetDimension.MAC:
                return self.dice.choice(_MACS)
            case SetDimension.MARK:
                return hex(self.dice.randrange(16))
            case SetDimension.IFACE:
                return self.dice.choice(_FACES)
            case SetDimension.SET:
                raise ValueError(part)

    def _address(self, kind: SetType, *, ranges: bool) -> str:
        near = [text for text in _NEAR[self.family] if not kind.bitmap or text.startswith("10.1.")]
        if not kind.bitmap:
            near += [str(address) for address in own(self.family)]
        text = self.dice.choice(near)
        ranged = (
            ranges
            and self.family is Family.IPV4
            and kind.parts[-1] is not SetDimension.MAC
            and self.dice.random() < 0.3
        )
        return f"{text}/{self.dice.choice((30, 31))}" if ranged else text

    def _network(self, kind: SetType) -> str:
        text = self.dice.choice([*_NEAR[self.family], *map(str, own(self.family))])
        if self.family is Family.IPV4 and len(kind.parts) == 1 and self.dice.random() < 0.1:
            return f"10.1.2.1-10.1.2.{self.dice.randrange(2, 255)}"
        zero = kind.parts[-1] is SetDimension.IFACE and self.dice.random() < 0.2
        length = 0 if zero else self.dice.choice(_LENGTHS[self.family])
        return str(ip_network(f"{text}/{length}", strict=False))

    def _port(self, kind: SetType) -> str:
        port = self.dice.choice(_PORTS)
        text = f"{port}-{min(65535, port + 2)}" if self.dice.random() < 0.2 else str(port)
        if kind.bitmap:
            return text
        if self.dice.random() < 0.25:
            return self.dice.choice((*_ICMP_TEXTS[self.family], "gre:0", "253:0", "dccp:0"))
        return f"{self.dice.choice(('tcp', 'udp', 'sctp', 'udplite'))}:{text}"

    def query(self, ipset: IpSet) -> str:
        """Draw the options of a match on a set."""
        words = ["!"] if self.dice.random() < 0.3 else []
        words += ["--match-set", ipset.name, self._sides(ipset)]
        words += ["--return-nomatch"] if self.dice.random() < 0.3 else []
        words += ["!", "--update-counters"] if self.dice.random() < 0.2 else []
        words += ["!", "--update-subcounters"] if self.dice.random() < 0.2 else []
        for what, most in (("packets", 4), ("bytes", 300)):
            if self.dice.random() < 0.25:
                how = self.dice.choice(("eq", "lt", "gt"))
                words += ["!"] if how == "eq" and self.dice.random() < 0.5 else []
                words += [f"--{what}-{how}", str(self.dice.randrange(1, most))]
        return " ".join(words)

    def changes(self, ipset: IpSet) -> Iterator[str]:
        """Yield rules that match a set, add to it and delete from it, all with the same directions."""
        sides = self._sides(ipset)
        exist = " --exist" if self.dice.random() < 0.5 else ""
        timeout = f" --timeout {self.dice.choice((0, 1000))}" if self.dice.random() < 0.3 else ""
        yield f"-m set --match-set {ipset.name} {sides} -j DROP"
        yield f"-j SET --add-set {ipset.name} {sides}{exist}{timeout}"
        yield f"-j SET --del-set {ipset.name} {sides}"
        if dict(ipset.options).get("counters") is not None:
            yield f"-m set --match-set {ipset.name} {sides} --packets-gt 1 -j DROP"

    def _sides(self, ipset: IpSet) -> str:
        """Draw src or dst for each dimension; always src for MAC addresses, because packets have no other one."""
        kind = KINDS[ipset.type]
        wanted = 3 if ipset.is_list else len(kind.parts)
        sides = [self.dice.choice(("src", "dst")) for _ in range(wanted)]
        sides = ["src" if SetDimension.MAC in kind.parts or self.dice.random() < 0.5 else side for side in sides]
        if ipset.is_list:
            sides[1] = "src"
        return ",".join(sides[: wanted - (self.dice.random() < 0.1)] or sides)

    def packets(self, ttl: int, count: int, interface: str, *, arriving: bool = True) -> Iterator[Packet]:
        """Yield packets at the edges of the drawn members, with hop limit ``ttl``, that arrive or leave."""
        for number in range(count):
            drawn = replace(self._packet(number), ttl=ttl)
            if arriving:
                yield from_wire(to_wire(drawn), in_interface=interface, mac=GATEWAY)
            else:
                yield from_wire(to_wire(replace(drawn, src=drawn.dst, dst=drawn.src)), out_interface=interface)

    def _packet(self, number: int) -> Packet:
        near = ip_address(self.dice.choice(_NEAR[self.family]))
        src = near + self.dice.choice((0, 0, 0, 0, 1)) if self.dice.random() < 0.9 else near - 1
        packet = Packet(src=src, dst=self.dice.choice(own(self.family)), protocol=self.dice.choice(_TRANSPORTS))
        if self.dice.random() < 0.2:
            kind = self.dice.choice(_ICMP[self.family])
            return replace(packet, protocol=protocol_names.ICMP_OF[self.family], icmp=kind, icmp_id=number)
        if self.dice.random() < 0.1:
            return replace(packet, protocol=self.dice.choice(_OTHERS[self.family]), length=80 + number)
        return replace(packet, sport=self.dice.choice((*_PORTS, 1024 + number)), dport=self.dice.choice(_PORTS))
