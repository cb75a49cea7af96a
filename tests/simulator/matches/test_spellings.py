"""Names and short spellings in rules are understood alike by all engines, without files of names."""

import pytest

from engine.rulesets.model import Family, Hook, Ruleset
from engine.rulesets.text import parse_tables
from simulator.analysis.compare import compare
from simulator.analysis.search import SearchMode, SearchQuestion, search
from simulator.batch import BatchEvaluator, columns_of
from simulator.expression import parse
from simulator.netfilter import Verdict, Walker
from simulator.packets import parse_spec

V4 = (Family.IPV4,)
PACKETS = [
    parse_spec(f"src={src} dst=192.0.2.1 {what}")
    for src in ("10.0.0.1", "11.0.0.1", "8.0.0.1")
    for what in (
        "proto=tcp sport=7 dport=22",
        "proto=udp sport=7 dport=53",
        "proto=igmp",
        "proto=gre",
        "proto=icmp icmp=8",
    )
]


def dropping(words: str) -> Ruleset:
    """Return rules that drop what matches."""
    text = f"*filter\n:INPUT ACCEPT [0:0]\n-A INPUT {words} -j DROP\nCOMMIT\n"
    return Ruleset(ipv4=parse_tables(text))


@pytest.mark.parametrize(
    "one, other",
    [
        ("-p igmp", "-p 2"),
        ("-p GRE", "-p 47"),
        ("-p tcp --dport ssh", "-p tcp --dport 22"),
        ("-p tcp -m multiport --dports ssh,http", "-p tcp -m multiport --dports 22,80"),
        ("-s 10/8", "-s 10.0.0.0/8"),
        ("-s 012/8", "-s 10.0.0.0/8"),
        ("-m iprange --src-range 10-10.255", "-m iprange --src-range 10.0.0.0-10.255.0.0"),
        ("-p icmp -m icmp --icmp-type 255/255", "-p icmp -m icmp --icmp-type any"),
    ],
)
def test_engines_read_spellings_alike(one: str, other: str) -> None:
    """One packet, many packets and all packets get the same verdict by either spelling, some of them each."""
    first, second = dropping(one), dropping(other)
    found = [Walker(first).verdict(packet) for packet in PACKETS]

    assert {answer.verdict for answer in found} == {Verdict.ACCEPT, Verdict.DROP}
    assert [answer.verdict for answer in found] == [Walker(second).verdict(packet).verdict for packet in PACKETS]
    assert not any(answer.assumptions for answer in found)
    assert compare(first, second) == ()
    (columns,) = columns_of(PACKETS)
    judged = BatchEvaluator(Walker(first), Family.IPV4).judge(columns, Hook.INPUT)
    assert not judged.walked.any()
    assert [end.verdict for row in range(len(PACKETS)) if (end := judged.end(row))] == [each.verdict for each in found]


@pytest.mark.parametrize("words", ["-p unheard-of", "-p tcp --dport unheard-of"])
def test_an_unknown_name_is_an_assumption_with_a_remedy(words: str) -> None:
    """A name that is not known is named in the answer, which asks for its number; nothing rests on it."""
    ruleset = dropping(words)

    (assumption,) = Walker(ruleset).verdict(PACKETS[0]).assumptions

    assert "unheard-of" in assumption
    assert "names a protocol or service that is not known here (write its number)" in assumption
    question = SearchQuestion(Hook.INPUT, parse(""), Verdict.DROP, SearchMode.MUST)
    assert search(ruleset, question, V4).count == 0
