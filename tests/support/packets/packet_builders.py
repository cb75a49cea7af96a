"""Builders of rules, rulesets and packets for the simulator's tests."""

from engine.rulesets.model import Chain, Family, IpSet, Match, Rule, Ruleset, Table, Target
from simulator.packets import Packet, parse_spec

SPEC = "src=10.0.0.1 dst=10.0.0.2 proto=tcp sport=40000 dport=22"
SPEC6 = "src=fd00::1 dst=fd00::2 proto=tcp sport=40000 dport=22"


def match(module: str, option: str, *values: str, negated: bool = False) -> Match:
    """Return a match with its values."""
    return Match(module, option, values, negated)


def rule(target: str | Target | None, *matches: Match, comment: str = "") -> Rule:
    """Return a rule; a target given by name is a jump."""
    told = (match("comment", "comment", comment),) if comment else ()
    return Rule((*matches, *told), Target(target) if isinstance(target, str) else target)


def goto(chain: str, *matches: Match) -> Rule:
    """Return a rule with ``-g``."""
    return Rule(matches, Target(chain, goto=True))


def chain(name: str, *rules: Rule, policy: str | None = None) -> Chain:
    """Return a chain; it is built-in if it has a policy."""
    return Chain(name, rules, policy)


def filtering(*chains: Chain, sets: tuple[IpSet, ...] = ()) -> Ruleset:
    """Return a ruleset with the IPv4 filter table."""
    return Ruleset(ipv4=(Table("filter", chains),), sets=sets)


def packet(words: str = "", base: str = SPEC) -> Packet:
    """Return a packet in SPEC notation; ``words`` override those of ``base``."""
    overridden = {word.partition("=")[0] for word in words.split()}
    kept = [word for word in base.split() if word.partition("=")[0] not in overridden]
    return parse_spec([*kept, *words.split()])


def net_set(*members: str, name: str = "s", family: Family = Family.IPV4) -> IpSet:
    """Return a ``hash:net`` set; flags may follow a member, after a blank."""
    return IpSet(name, "hash:net", family, tuple(tuple(member.split()) for member in members))
