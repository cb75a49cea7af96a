"""Random rulesets use the whole language, and packets aimed at a match lie on both sides of its edges."""

import re
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.rulesets.model import Family, Hook, Ruleset
from engine.rulesets.text import parse_sets, parse_tables
from simulator.netfilter import Walker
from simulator.packets import Packet, from_wire
from tests.support.packets.packet_drafts import Dice, Draft, crc32c, drawn, of_protocol
from tests.support.packets.ruleset_edge_packets import changes_of
from tests.support.rulesets.random_rulesets import Author
from tests.support.seeds import seeded

LANGUAGE = (
    *(f"-j {target} " for target in "DNAT SNAT MASQUERADE REDIRECT NETMAP MARK CONNMARK RETURN REJECT CT".split()),
    *(
        f"-m {match} "
        for match in "conntrack mark connmark set multiport statistic limit hashlimit recent u32 string".split()
    ),
    "-g FB",
    "-j MA",
    "! ",
)


@pytest.mark.parametrize("family", list(Family))
def test_random_rulesets_use_the_language(family: Family) -> None:
    """Chains, goto, RETURN, sets, conntrack, NAT and marks occur in many random rulesets."""
    worlds = [Author(f"nft {family} {place}", family).world().rules for place in range(80)]
    uses = Counter(word for rules in worlds for word in LANGUAGE if word in rules)
    assert min(uses[word] for word in LANGUAGE) > 10


SETS = {
    Family.IPV4: "create i hash:ip family inet\nadd i 198.51.100.3\ncreate n hash:net family inet\n"
    "add n 203.0.113.0/29\nadd n 203.0.113.4/31 nomatch\n",
    Family.IPV6: "create i hash:ip family inet6\nadd i 2001:db8:1::3\ncreate n hash:net family inet6\n"
    "add n 2001:db8:2::/125\nadd n 2001:db8:2::4/127 nomatch\n",
}
MATCHES = [
    "-s <net>",
    "-d <net>",
    "-p tcp",
    "-p tcp -m tcp --dport <ports>",
    "-p udp -m multiport --ports <some>",
    "-p tcp -m tcp --tcp-flags <flags>",
    "-p tcp -m tcp --tcp-option <option>",
    "-p tcp -m tcpmss --mss <mss>",
    "-p sctp -m sctp --chunk-types any <chunks>",
    "-m length --length <length>",
    "-m tos --tos <tos>",
    "-m dscp --dscp <dscp>",
    "-m ecn --ecn-ip-ect <ect>",
    "-m iprange --src-range <range>",
    "-m u32 --u32 <u32>",
    "-m set --match-set i src",
    "-m set --match-set n dst",
    "-p udp -m string --string <needle> --algo bm",
    "-m conntrack --ctorigdst <net>",
    "-m mark --mark 0x2/0x3",
]


@pytest.mark.parametrize("words", MATCHES)
@given(seed=st.integers(0, 1000), family=st.sampled_from(list(Family)))
def test_aimed_packets_lie_on_both_sides_of_a_match(words: str, seed: int, family: Family) -> None:
    """Of the changes for a match, the first one makes a packet match, and the last one does not."""
    author = Author(str(seed), family)
    rule = author._filled(words).replace("! ", "")
    tables = parse_tables(f"*filter\n:INPUT DROP\n-A INPUT {rule} -j ACCEPT\nCOMMIT\n")
    sets = parse_sets(SETS[family])
    rules = Ruleset(tables if family is Family.IPV4 else (), tables if family is Family.IPV6 else (), sets)
    (line,) = tables[0].chains[0].rules
    by_name = {each.name: each for each in sets}
    found = [changes for match in line.matches if (changes := changes_of(match, line, family, by_name))]
    protocol = re.search(r"-p (\w+)", words)
    draft = based(seeded(seed), family, protocol[1] if protocol else "udp")
    for changes in found:
        draft = changes[0](draft)

    assert held(rules, draft)
    for changes in found:
        assert not held(rules, changes[-1](draft))


def based(dice: Dice, family: Family, protocol: str) -> Draft:
    """Return a draft of a protocol."""
    return of_protocol(dice, drawn(dice, family), {"tcp": 6, "udp": 17, "sctp": 132}[protocol])


def held(rules: Ruleset, draft: Draft) -> bool:
    """Return True if the only rule matches."""
    return bool(Walker(rules).verdict(replaced(draft), Hook.INPUT).trace)


def replaced(draft: Draft) -> Packet:
    """Return the packet of a draft, with its mark."""
    return replace(from_wire(draft.wire(1)), mark=draft.mark)


def test_the_checksum_of_sctp_is_crc32c() -> None:
    """The checksum of the digits 1 to 9 is the published check value 0xE3069283."""
    assert crc32c(b"123456789") == (0xE3069283).to_bytes(4, "little")
