"""Canonical forms: one for all spellings of a rule, never one for two meanings."""

from collections.abc import Sequence
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.compiler import CompilerOptions, Layout, compile_rules
from engine.compiler.options import LogTarget
from engine.policy.completed_rules import Action, Protocol, Traffic
from engine.rulesets.canonical import canonical_member, canonical_rule, canonical_set, portable_rule
from engine.rulesets.diff import MemberChanged, RuleDeleted, diff
from engine.rulesets.model import Chain, Family, IpSet, Rule, Ruleset, Table
from engine.rulesets.plan import make_plan
from engine.rulesets.text import parse_sets, parse_tables, render_rule
from engine.rulesets.text.steps import portable, render_step
from simulator.netfilter import Verdict, Walker
from simulator.packets import parse_spec
from tests.support.rulesets.ruleset_builders import completed


def rule_of(words: str, family: Family = Family.IPV4) -> Rule:
    """Read one rule."""
    (table,) = parse_tables(f"*filter\n:INPUT ACCEPT\n-A INPUT {words}\nCOMMIT\n", family=family)
    (rule,) = table.chains[0].rules
    return rule


def spelled(words: str, family: Family = Family.IPV4) -> str:
    """Return the canonical form of a rule as text."""
    return render_rule(canonical_rule(rule_of(words, family), family)).strip()


@pytest.mark.parametrize(
    "one, other",
    [
        ("-p igmp -j DROP", "-p 2 -j DROP"),
        ("-p IGMP -j DROP", "-p 0x2 -j DROP"),
        ("-p gre -j DROP", "-p 47 -j DROP"),
        ("-p all -j DROP", "-j DROP"),
        ("-p tcp --dport ssh -j DROP", "-p 6 -m tcp --dport 22:22 -j DROP"),
        ("-p tcp -m tcp --dport 0:65535 -j DROP", "-p tcp -m tcp -j DROP"),
        ("-p tcp -m tcp --dport :1023 -j DROP", "-p tcp -m tcp --dport 0:1023 -j DROP"),
        ("-p tcp -m tcp --dport 22 --sport 5 -j DROP", "-p tcp -m tcp --sport 5 --dport 22 -j DROP"),
        ("-p tcp --syn -j DROP", "-p tcp -m tcp --tcp-flags ACK,FIN,SYN,RST SYN -j DROP"),
        ("-p tcp -m multiport --dports http,ssh -j DROP", "-p tcp -m multiport --dports 22,80 -j DROP"),
        ("-p icmp --icmp-type ping -j DROP", "-p 1 -m icmp --icmp-type 8 -j DROP"),
        ("-p icmp --icmp-type any -j DROP", "-p icmp -m icmp --icmp-type 255/255 -j DROP"),
        ("-s 10/8 -j DROP", "-s 10.1.2.3/255.0.0.0 -j DROP"),
        ("-s 0.0.0.0/0 -i + -j DROP", "-j DROP"),
        ("-m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT", "-m state --state RELATED,ESTABLISHED -j ACCEPT"),
        ("-m limit -j LOG", "-m limit --limit 3/hour --limit-burst 5 -j LOG --log-level warning"),
        ("-m limit --limit 60/minute -j LOG", "-m limit --limit 1/s -j LOG"),
        ("-j REJECT", "-j REJECT --reject-with port-unreach"),
        ("-j NFLOG --nflog-group 0 --nflog-prefix x", "-j NFLOG --nflog-prefix x"),
        ('-m u32 --u32 "0>>22&0x3C@0>>24=17:17" -j DROP', '-m u32 --u32 "0x0>>0x16&0x3c@0x0>>0x18=0x11" -j DROP'),
        (
            "-m comment --comment a -m mark --mark 1 -s 10.0.0.1 -j DROP",
            "-s 10.0.0.1/32 -m mark --mark 0x1/0xffffffff -m comment --comment a -j DROP",
        ),
        ("-m ttl --ttl-eq 9 -m mark --mark 1 -j DROP", "-m mark --mark 1 -m ttl --ttl-eq 0x9 -j DROP"),
    ],
)
def test_spellings_have_one_form(one: str, other: str) -> None:
    """Two spellings of one rule have the same canonical form, which is its own."""
    assert spelled(one) == spelled(other)
    assert spelled(spelled(one)) == spelled(one)


@pytest.mark.parametrize(
    "one, other",
    [
        ("-p icmpv6 -j DROP", "-p 58 -j DROP"),
        ("-s 2001:DB8:0::1 -j DROP", "-s 2001:db8::1/128 -j DROP"),
        ("-s ::1.2.3.4 -j DROP", "-s ::102:304 -j DROP"),
        ("-s fd00::1/ffff:: -j DROP", "-s fd00::/16 -j DROP"),
        ("-p icmpv6 --icmpv6-type packet-too-big -j DROP", "-p ipv6-icmp -m icmp6 --icmpv6-type 2 -j DROP"),
        ("-j REJECT", "-j REJECT --reject-with icmp6-port-unreachable"),
    ],
)
def test_ipv6_spellings_have_one_form(one: str, other: str) -> None:
    """Two spellings of one rule of IPv6 have the same canonical form."""
    assert spelled(one, Family.IPV6) == spelled(other, Family.IPV6)


@pytest.mark.parametrize(
    "one, other",
    [
        ("-m limit --limit 1/s -m mark --mark 1 -j DROP", "-m mark --mark 1 -m limit --limit 1/s -j DROP"),
        ("-m recent --set -m mark --mark 1 -j DROP", "-m mark --mark 1 -m recent --set -j DROP"),
        ("-p tcp -m tcp -j DROP", "-p tcp -j DROP"),
        ("! -p tcp -j DROP", "-p tcp -j DROP"),
        ("! -s 0.0.0.0/0 -j DROP", "-j DROP"),
        ("-j NW-A", "-g NW-A"),
        ("-p tcp -m tcp --sport 5 -m tcp --dport 6 -j DROP", "-p tcp -m tcp --sport 6 -m tcp --dport 5 -j DROP"),
        ("-p unheard-of -j DROP", "-p 3 -j DROP"),
    ],
)
def test_other_meanings_have_other_forms(one: str, other: str) -> None:
    """What counts, remembers, negates or jumps otherwise is another rule."""
    assert spelled(one) != spelled(other)


# Any re-spelling

Part = tuple[Sequence[str], str]
"""An option in several spellings, and the words that packets need to show it."""


def _numbers(value: int) -> list[str]:
    return [str(value), f"{value:#x}", f"0{value:o}"]


_NEAR = tuple(int(IPv4Address(text)) for text in ("10.0.0.1", "192.0.2.1", "255.255.255.254", "0.0.0.1"))
"""Addresses of the packets below."""


@st.composite
def networks(draw: st.DrawFn, family: Family) -> list[str]:
    """Draw one network in several spellings."""
    bits = 32 if family is Family.IPV4 else 128
    prefix = draw(st.integers(1, bits))
    value = draw(st.sampled_from(_NEAR) | st.integers(0, 2**bits - 1))
    if family is Family.IPV4:
        host, network = IPv4Address(value), IPv4Network((value, prefix), strict=False)
        short = str(network.network_address).removesuffix(".0").removesuffix(".0").removesuffix(".0")
        found = [str(network), f"{host}/{prefix}", f"{host}/{network.netmask}", f"{short}/{prefix}"]
    else:
        host6, network6 = IPv6Address(value), IPv6Network((value, prefix), strict=False)
        found = [f"{host6}/{prefix}", f"{host6.exploded.upper()}/{prefix}", f"{host6}/{network6.netmask}"]
    return [*found, found[0].partition("/")[0]] if prefix == bits else found


@st.composite
def ranges(draw: st.DrawFn) -> list[str]:
    """Draw one range of ports in several spellings."""
    low, high = sorted((draw(st.sampled_from((0, 22, 80, 1024, 65535))), draw(st.sampled_from((22, 80, 443, 65535)))))
    names = {22: ["ssh"], 80: ["http", "www"], 443: ["https"]}
    lows, highs = ([*_numbers(port), *names.get(port, [])] for port in (low, high))
    found = [f"{one}:{other}" for one, other in zip(lows, highs, strict=False)]
    if low == high:
        found += lows
    return [*found, *([f":{high}"] if low == 0 else []), *([f"{low}:"] if high == 65535 else [])]


_PROTOCOLS = {"tcp": ["tcp", "TCP", "6", "0x6"], "udp": ["udp", "17", "021"], "sctp": ["sctp", "132"]}
_PLAIN = [
    ["-m mark --mark 1", "-m mark --mark 0x1/0xffffffff"],
    ["-m ttl --ttl-lt 64", "-m ttl --ttl-lt 0x40"],
    ["-m length --length 100:", "-m length --length 100:65535"],
    ["-m conntrack --ctstate NEW,RELATED", "-m state --state RELATED,NEW"],
    ["-m mac --mac-source 02:00:00:00:00:0a", "-m mac --mac-source 02:00:00:00:00:0A"],
]


@st.composite
def respelled(draw: st.DrawFn, family: Family = Family.IPV4) -> tuple[str, str]:
    """Draw a rule in two spellings, its parts in any order that means the same."""
    name = draw(st.sampled_from(sorted(_PROTOCOLS)))
    natives = [[f"-p {text}" for text in _PROTOCOLS[name]]]
    for option in ("-s", "-d"):
        if draw(st.booleans()):
            sign = draw(st.sampled_from(("", "! ")))
            natives.append([f"{sign}{option} {text}" for text in draw(networks(family))])
        elif family is Family.IPV4:
            natives.append(["", f"{option} 0/0"])
    ported = []
    for option in ("--sport", "--dport"):
        if draw(st.booleans()):
            sign = draw(st.sampled_from(("", "! ")))
            ported.append([f"{sign}{option} {text}" for text in draw(ranges())])
    plain = draw(st.lists(st.sampled_from(_PLAIN), max_size=2, unique_by=str))
    if family is Family.IPV6:
        plain = [part for part in plain if "ttl" not in part[0]]
    target = draw(st.sampled_from(("DROP", "ACCEPT", "REJECT")))
    default = "icmp-port-unreachable" if family is Family.IPV4 else "icmp6-port-unreachable"
    targets = [target, f"REJECT --reject-with {default}"] if target == "REJECT" else [target]

    def once() -> str:
        front = [draw(st.sampled_from(part)) for part in draw(st.permutations(natives))]
        ports = [draw(st.sampled_from(part)) for part in draw(st.permutations(ported))]
        rest = [draw(st.sampled_from(part)) for part in draw(st.permutations(plain))]
        module = [f"-m {name}", *ports] if ports else []
        words = [*front, *module, *rest] if draw(st.booleans()) else [*module[:0], *front, *module, *rest]
        return " ".join([*words, f"-j {draw(st.sampled_from(targets))}"])

    return once(), once()


@given(respelled())
def test_any_spelling_has_one_form(pair: tuple[str, str]) -> None:
    """Any two spellings of a rule of IPv4 have the same canonical form, which is a fixed point."""
    one, other = pair
    assert spelled(one) == spelled(other)
    assert spelled(spelled(one)) == spelled(one)


@given(respelled(Family.IPV6))
def test_any_ipv6_spelling_has_one_form(pair: tuple[str, str]) -> None:
    """Any two spellings of a rule of IPv6 have the same canonical form."""
    one, other = pair
    assert spelled(one, Family.IPV6) == spelled(other, Family.IPV6)


PACKETS = [
    f"in=eth0 src={src} dst={dst} proto={proto}{ports} ttl={ttl} mark={mark} len={length} state={state} mac=02:00:00:00:00:0a"
    for src, dst in (("10.0.0.1", "192.0.2.1"), ("192.0.2.1", "10.0.0.1"), ("255.255.255.254", "0.0.0.1"))
    for proto in ("tcp", "udp", "sctp", "gre")
    for ports in (
        ("",)
        if proto == "gre"
        else tuple(f" sport={a} dport={b}" for a, b in ((0, 22), (22, 80), (80, 65535), (1024, 443), (65535, 0)))
    )
    for ttl, mark, length, state in ((63, 1, 100, "new"), (64, 0, 99, "established"))
]
_READ = [parse_spec(text) for text in PACKETS]


def verdicts(words: str) -> list[Verdict]:
    """Return what becomes of edge packets by one rule."""
    rules = (Table("filter", (Chain("INPUT", (rule_of(words),), "ACCEPT"),)),)
    walker = Walker(Ruleset(ipv4=rules))
    return [walker.verdict(packet).verdict for packet in _READ]


@given(respelled(), respelled())
def test_one_form_has_one_meaning(one: tuple[str, str], other: tuple[str, str]) -> None:
    """Two spellings do the same to every packet, and rules that do something else have another form."""
    assert verdicts(one[0]) == verdicts(one[1])
    if spelled(one[0]) == spelled(other[0]):
        assert verdicts(one[0]) == verdicts(other[0])


@given(respelled(), respelled())
def test_other_verdicts_have_other_forms(one: tuple[str, str], other: tuple[str, str]) -> None:
    """Rules by which a packet fares differently never share a form, nor does a canonical rule change a verdict."""
    assert verdicts(spelled(one[0])) == verdicts(one[0])
    if verdicts(one[0]) != verdicts(other[0]):
        assert spelled(one[0]) != spelled(other[0])


# What nodewall compiles

_SERVICES = (
    *(Traffic(each, (1, 65535), (7, 9)) for each in (Protocol.TCP, Protocol.UDP, Protocol.SCTP)),
    *(Traffic(Protocol.TCP, (port, port)) for port in range(2, 60, 3)),
    *(Traffic(Protocol.IGMP, igmp=(kind, "224.0.0.9")) for kind in (-1, 0x16)),
    *(Traffic(each, icmp=(8, code)) for each in (Protocol.ICMP, Protocol.ICMPV6) for code in (-1, 3)),
)


@pytest.mark.parametrize("layout", Layout)
@pytest.mark.parametrize("kernel", [True, False])
@pytest.mark.parametrize("action", Action)
def test_compiled_rules_are_canonical(layout: Layout, action: Action, *, kernel: bool) -> None:
    """What is compiled is its own canonical form, so digests are the same as ever."""
    logged = replace(completed("a", "10.0.0.0/8", "fd00::/8", action=action, services=_SERVICES), logged=True)
    options = CompilerOptions(
        layout=layout, interfaces=("eth+", "wt0"), log=LogTarget(kernel=kernel, rate="7/minute", burst=9)
    )
    ruleset = compile_rules((logged,), options)

    for family, _, chain in ruleset.chains():
        for rule in chain.rules:
            assert canonical_rule(rule, family) == rule
    assert [canonical_set(item).members for item in ruleset.sets] == [item.members for item in ruleset.sets]


# Diff and plan


def test_a_release_that_prints_numbers_makes_no_difference() -> None:
    """Case D1: what iptables 1.8.11 prints of an IGMP rule is what was compiled."""
    wanted = compile_rules((completed("a", services=(Traffic(Protocol.IGMP, igmp=(0x11, "224.0.0.9")),)),))
    (table,) = wanted.ipv4
    printed = tuple(replace(chain, rules=tuple(portable_rule(rule) for rule in chain.rules)) for chain in table.chains)
    observed = replace(wanted, ipv4=(replace(table, chains=printed),))

    assert "-p 2" in "".join(render_rule(rule) for chain in printed for rule in chain.rules)
    assert diff(observed, wanted) == ()
    assert diff(wanted, observed) == ()


def test_only_other_rules_are_deleted() -> None:
    """A rule in another spelling stays where it stands while one beside it goes."""
    observed, wanted = (
        Ruleset(ipv4=(Table("filter", (Chain("NW-INPUT", tuple(map(rule_of, rules))),)),))
        for rules in (("-p 2 -j DROP", "-p 3 -j DROP", "-p gre -j DROP"), ("-p igmp -j DROP", "-p 47 -j DROP"))
    )

    (change,) = diff(observed, wanted)

    assert isinstance(change, RuleDeleted)
    assert (change.position, render_rule(change.rule)) == (2, " -p 3 -j DROP")


def test_steps_name_protocols_by_number() -> None:
    """Without /etc/protocols no release takes ``-p igmp``, so the tools get 2; operations keep the name."""
    wanted = Ruleset(
        ipv4=(Table("filter", (Chain("NW-INPUT", (rule_of('-p igmp -m comment --comment "-p igmp" -j DROP'),)),)),)
    )

    (step,) = make_plan(diff(Ruleset(), wanted)).steps

    assert '-p 2 -m comment --comment "-p igmp"' in render_step(portable(step))
    assert "-p igmp -m comment" in render_step(step)
    assert len(render_step(portable(step)).splitlines()) == len(render_step(step).splitlines())


def test_set_spellings_make_no_difference() -> None:
    """Defaults, order of options and spelling of elements make no other set."""
    one, other = (
        Ruleset(sets=parse_sets(f"create nw-4-a hash:net {options}\nadd nw-4-a {element}\n"))
        for options, element in (
            ("family inet counters maxelem 65536 comment", "10.0.0.0/8 nomatch"),
            ("comment counters", "10.1.2.3/8 nomatch"),
        )
    )

    assert diff(one, other) == ()
    assert diff(other, one) == ()
    assert [canonical_set(item) for item in one.sets] == [canonical_set(item) for item in other.sets]


def test_flags_of_a_respelt_element_are_changed_in_place() -> None:
    """An element in another spelling and with another flag is changed in one step."""
    one = Ruleset(sets=(IpSet("nw-4-a", "hash:net", Family.IPV4, (("10.0.0.0/8",),)),))
    other = Ruleset(sets=(IpSet("nw-4-a", "hash:net", Family.IPV4, (("10.1.2.3/8", "nomatch"),)),))

    assert diff(one, other) == (MemberChanged("nw-4-a", ("10.1.2.3/8", "nomatch")),)


@pytest.mark.parametrize(
    "kind, one, other",
    [
        ("hash:ip,port", "10.0.0.1,tcp:22", "10.0.0.1/32,ssh"),
        ("hash:ip,port", "10.0.0.1,igmp:0", "10.0.0.1,2:0"),
        ("hash:net,mac", "10.0.0.0/8,02:00:00:00:00:0A", "10.0.0.0/8,02:00:00:00:00:0a"),
    ],
)
def test_element_spellings_have_one_form(kind: str, one: str, other: str) -> None:
    """An element has one form, whatever its type."""
    item = IpSet("nw-4-a", kind, Family.IPV4)
    assert canonical_member((one,), item) == canonical_member((other,), item)
