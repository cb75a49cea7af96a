"""Random rulesets with every match and target, for one Node that forwards between two sides.

The seed alone determines a ruleset. Every rule has its number in a comment, so that a trace can be read. The first
rules of each built-in chain accept packets that the kernel sends by itself, so that they change nothing.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from engine.rulesets.model import Family, Ruleset
from engine.rulesets.text import parse_sets, parse_tables
from tests.support.packets.packet_drafts import CLIENT_PORTS, LEFT, NEEDLE, NODE, PORTS, RIGHT, Dice
from tests.support.seeds import seeded

HOOKS = {
    "raw": ("PREROUTING", "OUTPUT"),
    "mangle": ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"),
    "nat": ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"),
    "filter": ("INPUT", "FORWARD", "OUTPUT"),
}
CHAINS = {"raw": ("RA",), "mangle": ("MA", "MB"), "nat": ("NA",), "filter": ("FA", "FB", "FC")}
MOST_RULES = {"filter": 6, "mangle": 3, "nat": 3, "raw": 1}

LOCAL = "-m mark --mark 0x80000000/0x80000000"
"""Match for packets from raw sockets of the Node."""

ANSWER = "-m mark --mark 0x40000000/0x40000000"
"""Match for packets that the kernel sends by itself."""

NEIGHBOURS = ("fe80::/10", "::/128")
"""Sources of neighbour discovery, which is accepted: it comes at any time, so counting rules must not see it."""

FIRST: Mapping[tuple[str, str], Sequence[str]] = {
    **{(table, hook): [f"{ANSWER} -j ACCEPT"] for table, hooks in HOOKS.items() for hook in hooks},
    ("raw", "PREROUTING"): [f"{ANSWER} -j ACCEPT", "-i eth+ -j TRACE"],
    ("raw", "OUTPUT"): [
        f"{LOCAL} -j TRACE",
        f"{LOCAL.replace('--mark', '! --mark')} -j MARK --set-mark 0x40000000",
        f"{ANSWER} -j CT --notrack",
        f"{ANSWER} -j ACCEPT",
    ],
}

Words = Sequence[str]
"""Rule templates: ``<name>`` becomes a value of `CHOICES` or one that an `Author` draws; ``!`` sometimes stays."""

MATCHES: Words = (
    "-m conntrack ! --ctstate <state>",
    "-m conntrack ! --ctstate <state>",
    "-m conntrack --ctdir <direction>",
    "-m conntrack ! --ctstatus <status>",
    "-m conntrack ! --ctorig<side> <net>",
    "-m conntrack ! --ctrepl<side> <net>",
    "-m conntrack ! --ctproto <number>",
    "-m mark ! --mark <mark>",
    "-m connmark ! --mark <mark>",
    "-m length ! --length <length>",
    "-m tos ! --tos <tos>",
    "-m dscp ! --dscp <dscp>",
    "-m ecn ! --ecn-ip-ect <ect>",
    "-m iprange ! --<side>-range <range>",
    "-m string ! --string <needle> --algo <algorithm><offsets>",
    "-m u32 ! --u32 <u32>",
    "-m set ! --match-set <set> <side>",
    "-m set ! --match-set <set> <side>",
    "-m set --match-set n src --return-nomatch",
    "-m statistic --mode nth ! --every <every> --packet <first>",
    "-m quota --quota <quota>",
    "-m limit --limit 1/hour --limit-burst <burst>",
    "-m hashlimit --hashlimit-<way> 1/hour --hashlimit-burst 2 --hashlimit-mode <mode> --hashlimit-name h<list>",
    "-m recent <remembered> --name q<list2> <rside>",
    "-m pkttype ! --pkt-type <kind>",
    "-m addrtype ! --dst-type <type>",
)
OF_PROTOCOL: Mapping[str, Words] = {
    "tcp": (
        "-m tcp ! --<port> <ports>",
        "-m tcp ! --<port> <ports>",
        "-m multiport ! --<ports_of> <some>",
        "-m tcp ! --tcp-flags <flags>",
        "-m tcp ! --tcp-option <option>",
        "-m tcpmss ! --mss <mss>",
    ),
    "udp": ("-m udp ! --<port> <ports>", "-m multiport ! --<ports_of> <some>"),
    "sctp": (
        "-m sctp ! --<port> <ports>",
        "-m multiport ! --<ports_of> <some>",
        "-m sctp ! --chunk-types <how> <chunks>",
    ),
    "icmp": ("-m icmp ! --icmp-type <icmp>",),
    "ipv6-icmp": ("-m icmp6 ! --icmpv6-type <icmp6>",),
}
OF_FAMILY: Mapping[Family, Words] = {
    Family.IPV4: ("-m ttl ! --ttl-eq 63", "-m ttl --ttl-lt 63", "-m ttl --ttl-gt 63"),
    Family.IPV6: ("-m hl ! --hl-eq 63", "-m hl --hl-lt 63", "-m hl --hl-gt 63"),
}
REJECTS = {
    Family.IPV4: ("icmp-port-unreachable", "icmp-admin-prohibited", "icmp-host-unreachable"),
    Family.IPV6: ("icmp6-port-unreachable", "icmp6-adm-prohibited", "icmp6-no-route"),
}

Targets = Sequence[tuple[str, str]]
"""Protocol that each target requires, and its template."""

FILTER: Targets = (
    *((("", "-j ACCEPT"),) * 4),
    *((("", "-j DROP"),) * 2),
    ("tcp", "-j REJECT --reject-with tcp-reset"),
    ("", "-j REJECT --reject-with <reject>"),
    ("", "-j RETURN"),
    ("", ""),
    ("", "-j MARK --or-mark <bits>"),
)
MANGLE: Targets = tuple(
    ("", words)
    for words in (
        "-j MARK --set-mark <marking>",
        "-j MARK --or-mark <bits>",
        "-j MARK --xor-mark <bits>",
        "-j MARK --and-mark 0xfffffff0",
        "-j CONNMARK --set-mark <connmark>",
        "-j CONNMARK --save-mark",
        "-j CONNMARK --save-mark --nfmask 0xff --ctmask 0xf",
        "-j CONNMARK --restore-mark --nfmask 0xff --ctmask 0xff",
        "-j TOS --set-tos <service>",
        "-j TOS --<bitwise>-tos 0x1c",
        "-j DSCP --set-dscp <dscp>",
        "-j <hops>",
        "-j ACCEPT",
        "-j RETURN",
        "<drop>",
    )
)
SOURCES: Targets = (
    ("", "-j SNAT --to-source <source>"),
    ("", "-j SNAT --to-source <source>"),
    ("", "-j SNAT --to-source <sources>"),
    ("udp", "-j SNAT --to-source <source_port>"),
    ("", "-j NETMAP --to <netmap>"),
    ("", "-j ACCEPT"),
    ("", "-j <into>"),
)
MASQUERADES: Targets = tuple(
    (proto, f"-m addrtype ! --dst-type LOCAL -j MASQUERADE{ports}")
    for proto, ports in (("", ""), ("", ""), ("udp", " --to-ports <span>"))
)
DESTINATIONS: Targets = (
    ("", "-j DNAT --to-destination <to>"),
    ("tcp", "-j DNAT --to-destination <to_port>"),
    ("udp", "-j DNAT --to-destination <to_port>"),
    ("", "-j DNAT --to-destination <tos_of>"),
    ("", "-j REDIRECT"),
    ("udp", "-j REDIRECT --to-ports <span>"),
    ("", "-j NETMAP --to <netmap>"),
    ("", "-j ACCEPT"),
    ("", "-j <into>"),
)
RAW: Targets = (("", "-j CT --notrack"), ("", "-j ACCEPT"), ("", "-j CT --zone 3"), ("", ""))

CHOICES: Mapping[str, Words] = {
    "state": "NEW ESTABLISHED RELATED INVALID UNTRACKED NEW,ESTABLISHED INVALID,RELATED SNAT DNAT".split(),
    "direction": ("ORIGINAL", "REPLY"),
    "status": ("CONFIRMED", "SEEN_REPLY", "NONE", "EXPECTED"),
    "side": ("src", "dst"),
    "number": ("6", "17", "1", "58"),
    "mark": ("0x1/0x1", "0x2/0x3", "0x0/0xff", "0x80000000/0x80000000", "0x10/0xf0"),
    "tos": ("0x10", "0x10/0x1c", "0x00/0xfc", "0xb8"),
    "dscp": ("0x00", "0x04", "0x2e"),
    "ect": ("0", "1", "3"),
    "needle": (NEEDLE.decode(),),
    "algorithm": ("bm", "kmp"),
    "offsets": ("", " --from 28", " --from 40 --to 200", " --to 60"),
    "set": ("n", "i"),
    "every": ("2", "3"),
    "first": ("0", "1"),
    "quota": ("100", "300", "1000"),
    "burst": ("1", "3"),
    "way": ("upto", "above"),
    "mode": ("srcip", "dstip", "srcip,dstip"),
    "remembered": ("--set", "--rcheck", "--update --hitcount 2", "--rcheck --hitcount 3", "--remove"),
    "rside": ("--rsource", "--rdest"),
    "kind": ("unicast", "multicast"),
    "type": ("LOCAL", "UNICAST", "MULTICAST"),
    "port": ("sport", "dport", "dport"),
    "ports_of": ("sports", "dports", "ports"),
    "flags": ("SYN,ACK SYN", "ALL SYN", "FIN,RST NONE", "SYN,RST,ACK ACK", "ALL NONE"),
    "option": ("2", "3", "8"),
    "mss": ("1400", "1000:1460", "1461:2000"),
    "how": ("all", "any", "only"),
    "chunks": ("INIT", "DATA", "INIT,DATA", "DATA:B"),
    "icmp": ("8", "0", "3", "3/3"),
    "icmp6": ("128", "129", "1", "1/4"),
    "marking": ("0x1/0x1", "0x2/0x3", "0x10/0xf0"),
    "bits": ("0x1", "0x10", "0x12"),
    "connmark": ("0x1", "0x2/0x3", "0x80000001"),
    "service": ("0x10", "0x04/0x0c"),
    "bitwise": ("and", "or", "xor"),
    "drop": ("-j DROP", "", ""),
    "into": ("NA", "RETURN"),
    "span": ("40000-40002", "53-81", "8080"),
    "in": ("eth0", "eth1", "eth+", "e+"),
    "out": ("eth0", "eth1", "eth+"),
}


@dataclass(frozen=True, slots=True)
class World:
    """One ruleset as text: ``rules`` for iptables-restore, ``sets`` for ipset restore."""

    seed: str
    family: Family
    rules: str
    sets: str


class Author:
    """Writes random rules of one family."""

    def __init__(self, seed: str, family: Family) -> None:
        self.dice = seeded(seed)
        self.seed, self.family = seed, family
        self.v4 = family is Family.IPV4
        self.count = self.lists = 0
        self.addresses = [*LEFT[family], *RIGHT[family], NODE[family]]

    def world(self) -> World:
        """Write the rules and sets."""
        lines: list[str] = []
        for table, hooks in HOOKS.items():
            lines.append(f"*{table}")
            lines += [f":{hook} {self._policy(table, hook)} [0:0]" for hook in hooks]
            lines += [f":{name} - [0:0]" for name in CHAINS[table]]
            for hook in hooks:
                lines += [self._numbered(hook, words) for words in (*self._quiet(table, hook), *FIRST[table, hook])]
                lines += self._chain(table, hook, CHAINS[table])
            for place, name in enumerate(CHAINS[table]):
                lines += self._chain(table, name, CHAINS[table][place + 1 :])
            lines.append("COMMIT")
        return World(self.seed, self.family, "\n".join([*lines, ""]), self._sets())

    def _policy(self, table: str, hook: str) -> str:
        return "DROP" if table == "filter" and hook != "OUTPUT" and self.dice.random() < 0.25 else "ACCEPT"

    def _chain(self, table: str, chain: str, below: Words) -> Iterator[str]:
        for _ in range(self.dice.randint(0, MOST_RULES[table])):
            proto, words = self._target(table, chain, below)
            yield self._numbered(chain, f"{self._matches(table, chain, proto)} {words}")

    def _quiet(self, table: str, hook: str) -> Words:
        """Return the rules that accept neighbour discovery."""
        if (table, hook) != ("raw", "PREROUTING") or self.family is Family.IPV4:
            return ()
        return [f"-s {source} -j MARK --set-mark 0x40000000" for source in NEIGHBOURS]

    def _numbered(self, chain: str, words: str) -> str:
        self.count += 1
        return f"-A {chain} {words.strip()} -m comment --comment r{self.count}"

    def _matches(self, table: str, chain: str, proto: str) -> str:
        dice, words = self.dice, []
        if dice.random() < 0.5:
            words.append(dice.choice(("! -s <net>", "! -d <net>")))
        if chain in {"PREROUTING", "INPUT", "FORWARD"} and dice.random() < 0.15:
            words.append("! -i <in>")
        if chain in {"OUTPUT", "FORWARD", "POSTROUTING"} and dice.random() < 0.15:
            words.append("! -o <out>")
        if not proto and dice.random() < 0.5:
            proto = dice.choice(("tcp", "udp", "sctp", "icmp" if self.v4 else "ipv6-icmp"))
        if proto:
            words.append(f"-p {proto}")
            words += [dice.choice(OF_PROTOCOL[proto])] * (dice.random() < 0.7)
        words += dice.sample(self._kinds(table, chain), dice.choice((0, 0, 1, 1, 2)))
        return self._filled(" ".join(words))

    def _kinds(self, table: str, chain: str) -> list[str]:
        kinds = [*MATCHES, *OF_FAMILY[self.family]]
        if chain in {"PREROUTING", "INPUT", "FORWARD"}:
            kinds.append("-m mac ! --mac-source 02:00:00:00:00:02")
        if chain == "PREROUTING" and table in {"raw", "mangle"}:
            kinds += ["-m rpfilter", "-m rpfilter --loose", "-m rpfilter --invert"]
        return kinds

    def _target(self, table: str, chain: str, below: Words) -> tuple[str, str]:
        """Return the required protocol of a target, and its words."""
        dice = self.dice
        if below and dice.random() < 0.3:
            return "", f"-{dice.choice('jjg')} {dice.choice(below)}"
        proto, words = dice.choice({"filter": FILTER, "mangle": MANGLE, "raw": RAW, "nat": self._nat(chain)}[table])
        return proto, self._filled(words)

    def _nat(self, chain: str) -> Targets:
        if chain == "NA":  # reached from hooks for source and for destination NAT
            return (("", "-j NETMAP --to <netmap>"), ("", "-j RETURN"), ("", "-j ACCEPT"), ("", ""))
        if chain == "POSTROUTING":
            return (*SOURCES, *MASQUERADES)
        return SOURCES if chain == "INPUT" else DESTINATIONS

    def _filled(self, words: str) -> str:
        """Replace each ``<name>`` by a drawn value, and drop most ``!``."""
        filled = re.sub(r"<(\w+)>", lambda found: self._drawn(found[1]), words)
        return re.sub("! (?!--dst-type LOCAL)", lambda _: "! " if self.dice.random() < 0.2 else "", filled)

    def _drawn(self, name: str) -> str:
        return self.dice.choice(CHOICES[name] if name in CHOICES else self._own_choices(name))

    def _own_choices(self, name: str) -> Words:
        dice, side = self.dice, dice_side(self.dice, self.family)
        one, another = sorted(dice.sample(side, 2))
        low, high = sorted(dice.choices(PORTS + CLIENT_PORTS, k=2))
        short, long = sorted(dice.sample(range(28 if self.v4 else 48, 130), 2))
        bare = dice.choice(self.addresses)
        ttl = "TTL --ttl" if self.v4 else "HL --hl"
        self.lists += name == "list"
        unique = self.seed.replace(" ", "")[-12:]
        boxed = (lambda text: text) if self.v4 else (lambda text: f"[{text}]")
        return {
            "net": [f"{bare}/{mask}" for mask in self._masks()],
            "range": [f"{one}-{another}"],
            "length": [f"{short}:{long}", str(short)],
            "ports": [str(low), f"{low}:{high}", f":{high}", f"{low}:"],
            "some": [",".join(map(str, dice.sample(PORTS, 3))) + ",40000:40001"],
            "u32": ["6&0xFF=6", "6&0xFF=17:132", "12&0xFF=1:3"]
            if self.v4
            else ["3&0xFF=6", "3&0xFF=17:132", "20&0xFF=1:3"],
            "list": [f"{self.lists}{unique[-9:]}"],
            "list2": [f"a{unique}", f"b{unique}"],
            "reject": REJECTS[self.family],
            "hops": [f"{ttl}-{how}" for how in ("set 63", "inc 1", "dec 1", "set 30")],
            "source": [LEFT[self.family][-1], RIGHT[self.family][-1]],
            "sources": [f"{one}-{another}"],
            "source_port": [f"{boxed(side[-1])}:{dice.choice(CHOICES['span'])}"],
            "to": [*RIGHT[self.family], NODE[self.family]],
            "to_port": [f"{boxed(side[0])}:{dice.choice((*PORTS, '80-81', '9000-9003'))}"],
            "tos_of": [f"{one}-{another}"],
            "netmap": [f"{side[3]}/{30 if self.v4 else 126}"],
        }[name]

    def _masks(self) -> Words:
        width = 32 if self.v4 else 128
        holes = ("255.255.0.3", "255.255.0.6", "255.255.0.255") if self.v4 else ()
        return [*holes[: self.dice.randint(0, 2)], *(str(width - free) for free in (0, 0, 1, 2, 3, 8, 24))]

    def _sets(self) -> str:
        family = "inet" if self.v4 else "inet6"
        lines = [f"create -exist n hash:net family {family}", f"create -exist i hash:ip family {family}"]
        lines += ["flush n", "flush i"]
        for _ in range(5):
            width = (32 if self.v4 else 128) - self.dice.choice((0, 1, 2, 3, 8))
            nomatch = " nomatch" if self.dice.random() < 0.4 else ""
            lines.append(f"add -exist n {self.dice.choice(self.addresses)}/{width}{nomatch}")
            lines.append(f"add -exist i {self.dice.choice(self.addresses)}")
        return "\n".join([*lines, ""])


def dice_side(dice: Dice, family: Family) -> Words:
    """Return the addresses of one side of the Node."""
    return dice.choice((LEFT, RIGHT))[family]


def ruleset(family: Family, seed: str) -> Ruleset:
    """Return a random ruleset that may use every match and target."""
    world = Author(seed, family).world()
    sets = "".join(f"{line}\n" for line in world.sets.splitlines() if not line.startswith("flush"))
    return Ruleset(sets=parse_sets(sets), **{family.value.lower(): parse_tables(world.rules)})
