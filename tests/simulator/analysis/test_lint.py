"""What lint says of rules holds for every packet, and it says all there is to say."""

from collections.abc import Mapping

import numpy as np
import pytest

from adapters.cli.render.findings import rule_text, summary
from engine.errors import NoProof
from engine.rulesets.model import Family, Hook, Ruleset
from engine.rulesets.text import parse_tables
from simulator.analysis.lint import LintFinding, LintKind, lint
from simulator.netfilter import Decision
from simulator.symbolic import Budget
from tests.support.rulesets.ruleset_builders import SOAK
from tests.support.rulesets.small_rulesets import Author, Force, read, text

RULESETS = 800 if SOAK else 20
"""In each family."""

VERDICTS = ("ACCEPT", "DROP", "REJECT")
NEVER = {LintKind.SHADOWED, LintKind.CONTRADICTORY, LintKind.UNREACHABLE}


def found_in(*lines: str, policy: str = "ACCEPT") -> tuple[LintFinding, ...]:
    """Lint rules of IPv4 for what comes in; lines that begin with a colon or -A are taken as they are."""
    heads = [line for line in lines if line.startswith(":")]
    rules = [line if line.startswith("-A") else f"-A INPUT {line}" for line in lines if not line.startswith(":")]
    whole = "\n".join(["*filter", f":INPUT {policy} [0:0]", *heads, *rules, "COMMIT", ""])
    return lint(Ruleset(ipv4=parse_tables(whole)), (Family.IPV4,))


def rule(number: int, chain: str = "INPUT") -> Decision:
    """Return a place in the filter table."""
    return Decision("filter", chain, number)


def test_a_rule_behind_a_wider_one_is_shadowed() -> None:
    """The cause is the wider rule alone, not the others before it."""
    (finding,) = found_in(
        "-p tcp --dport 80 -j ACCEPT", "-s 10.0.0.0/8 -j DROP", "-s 10.1.0.0/16 -p tcp --dport 22 -j DROP"
    )

    assert (finding.kind, finding.place, finding.causes) == (LintKind.SHADOWED, rule(3), (rule(2),))
    assert summary(finding) == "filter/INPUT rule 3 is never matched: filter/INPUT rule 2 takes all its packets"
    assert rule_text(finding) == "-s 10.1.0.0/16 -p tcp -m tcp --dport 22 -j DROP"


def test_a_rule_that_never_gets_its_way_is_contradictory() -> None:
    """Two halves together take what the rule would do otherwise with; a packet shows it."""
    (finding,) = found_in(
        "-s 10.0.0.0/9 -j ACCEPT", "-p udp -j DROP", "-s 10.128.0.0/9 -j ACCEPT", "-s 10.0.0.0/8 -p tcp -j DROP"
    )

    assert (finding.kind, finding.causes) == (LintKind.CONTRADICTORY, (rule(1), rule(3)))
    assert finding.witness is not None
    assert (finding.witness.verdict, str(finding.witness.packet.src)) == ("accept", "10.0.0.7")
    assert summary(finding).endswith(
        "filter/INPUT rule 1 and filter/INPUT rule 3 take all its packets, and accept is what becomes of them"
    )


def test_a_rule_that_later_ones_make_up_for_is_redundant() -> None:
    """What the policy or another rule does as well needs no rule of its own."""
    by_rule, by_policy = found_in(
        "-s 10.1.0.0/16 -j ACCEPT", "-s 10.0.0.0/8 -j ACCEPT", "-p tcp --dport 25 -j DROP", policy="DROP"
    )

    assert (by_policy.kind, by_policy.place, by_policy.causes) == (LintKind.REDUNDANT, rule(3), (rule(0),))
    assert (by_rule.kind, by_rule.place, by_rule.causes) == (LintKind.REDUNDANT, rule(1), (rule(2),))


def test_a_rule_before_one_that_logs_is_not_redundant() -> None:
    """It keeps packets out of the log; and one that answers in another way makes a difference too."""
    assert found_in("-s 10.0.0.1 -j DROP", "-s 10.0.0.0/8 -j LOG", "-j DROP") == ()
    assert found_in("-p tcp --dport 22 -j REJECT --reject-with tcp-reset", "-p tcp -j REJECT") == ()


def test_what_nothing_leads_to_is_unreachable() -> None:
    """A chain without a way to it is named once; a rule that nothing that comes can match by itself."""
    lines = (":A - [0:0]", ":B - [0:0]", "-p udp -j A", "-A A -p tcp -j DROP", "-A B -p tcp -j DROP")
    inside, chain = found_in(*lines)

    assert (inside.kind, inside.place) == (LintKind.UNREACHABLE, rule(1, "A"))
    assert (chain.kind, chain.place, summary(chain)) == (
        LintKind.UNREACHABLE,
        rule(0, "B"),
        "chain filter/B is never entered",
    )


def test_what_may_match_is_not_shadowed() -> None:
    """A limit may let packets through to the rule behind it."""
    assert found_in("-p tcp -m limit --limit 1/sec -j ACCEPT", "-p tcp -j DROP") == ()


def test_too_little_time_is_no_answer() -> None:
    """A ruleset that there is no time for is not clean."""
    rules = parse_tables("*filter\n:INPUT DROP [0:0]\n-A INPUT -p tcp -j ACCEPT\nCOMMIT\n")
    with pytest.raises(NoProof, match="time"):
        lint(Ruleset(ipv4=rules), budget=Budget(patience=lambda: False))


class Variants:
    """A small ruleset, and others that differ from it by a rule."""

    def __init__(self, seed: str, family: Family) -> None:
        author = Author(seed, family)
        self.family = family
        self.rules, self.sets = author.ruleset(), author.sets()
        self.policy = author.dice.choice(("ACCEPT", "DROP"))
        self.whole = self._force(self.rules)

    @property
    def ruleset(self) -> Ruleset:
        """The ruleset itself."""
        return read(text(self.rules, self.policy), self.sets, self.family)

    def verdict_rules(self) -> list[Decision]:
        """Return the places of rules that give a verdict."""
        return [
            Decision(place.split()[0], place.split()[1], number)
            for place, lines in self.rules.items()
            for number, line in enumerate(lines, 1)
            if line.split()[-1] in VERDICTS
        ]

    def never_matches(self, place: Decision, rules: Mapping[str, list[str]] | None = None) -> bool:
        """Whether it makes no difference which verdict a rule gives."""
        rules = self.rules if rules is None else rules
        forces = [self._force(self._changed(rules, place, verdict)) for verdict in VERDICTS]
        return all(_same(forces[0], force) for force in forces[1:])

    def same_without(self, place: Decision) -> bool:
        """Whether verdicts are the same without a rule."""
        return bool(np.array_equal(self.whole.verdicts, self._force(self._changed(self.rules, place, "")).verdicts))

    def with_only(self, place: Decision, causes: tuple[Decision, ...]) -> bool:
        """Whether a rule never matches if only some of those before it give verdicts, return or lead elsewhere."""
        key = f"{place.table} {place.chain}"
        kept = {cause.rule for cause in causes}
        lines = [
            line if number in kept or number >= place.rule or "MARK" in line else " ".join(line.split()[:-2])
            for number, line in enumerate(self.rules[key], 1)
        ]
        return self.never_matches(place, {**self.rules, key: lines})

    def _changed(self, rules: Mapping[str, list[str]], place: Decision, verdict: str) -> dict[str, list[str]]:
        key = f"{place.table} {place.chain}"
        lines = list(rules[key])
        words = lines[place.rule - 1].split()
        lines[place.rule - 1] = " ".join([*words[:-1], verdict]) if verdict else ""
        return {**rules, key: [line for line in lines if line or verdict]}

    def _force(self, rules: Mapping[str, list[str]]) -> Force:
        return Force(read(text(rules, self.policy), self.sets, self.family), self.family)


def _same(first: Force, second: Force) -> bool:
    return bool(np.array_equal(first.verdicts, second.verdicts))


@pytest.mark.parametrize("family", Family)
def test_findings_are_those_of_brute_force(family: Family) -> None:
    """What never matches is what could give any verdict, what is redundant changes none, and causes are as few as do."""
    kinds: set[LintKind] = set()
    for number in range(RULESETS):
        case = Variants(f"lint {family} {number}", family)
        findings = lint(case.ruleset, (family,))
        kinds |= {finding.kind for finding in findings}
        deaf = {finding.place.chain for finding in findings if not finding.place.rule}
        never = {finding.place: finding for finding in findings if finding.kind in NEVER}
        for place in case.verdict_rules():
            said = place in never or place.chain in deaf
            assert case.never_matches(place) == said, (number, place, text(case.rules, case.policy), case.sets)
        for finding in findings:
            told = (number, summary(finding), text(case.rules, case.policy), case.sets)
            if finding.kind is LintKind.REDUNDANT:
                assert case.same_without(finding.place), told
            elif finding.causes and finding.place in case.verdict_rules():
                assert case.with_only(finding.place, finding.causes), told
                for cause in finding.causes:
                    fewer = tuple(other for other in finding.causes if other != cause)
                    assert not case.with_only(finding.place, fewer), told
    assert kinds == set(LintKind)


def test_a_hook_is_where_packets_are_shown() -> None:
    """Forwarded packets are judged where they pass."""
    rules = parse_tables("*filter\n:FORWARD DROP [0:0]\n-A FORWARD -p tcp -j DROP\nCOMMIT\n")

    (finding,) = lint(Ruleset(ipv4=rules), (Family.IPV4,))

    assert finding.witness is not None
    assert (finding.witness.packet.in_interface, finding.witness.packet.out_interface) != ("", "")
    assert Hook(finding.place.chain) is Hook.FORWARD
