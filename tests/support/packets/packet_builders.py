"""Rules, rulesets and packets in few words, for the simulator's tests."""

from engine.rulesets.model import Chain, Family, IpSet, Match, Rule, Ruleset, Table, Target
from simulator.packets import Packet, parse_spec

SPEC = "src=10.0.0.1 dst=10.0.0.2 proto=tcp sport=40000 dport=22"
SPEC6 = "src=fd00::1 dst=fd00::2 proto=tcp sport=40000 dport=22"


def match(module: str, option: str, *values: str, negated: bool = False) -> Match:
    """A match, with its values as words."""
    return Match(module, option, values, negated)


def rule(target: str | Target | None, *matches: Match, comment: str = "") -> Rule:
    """A rule; a target by name jumps."""
    told = (match("comment", "comment", comment),) if comment else ()
    return Rule((*matches, *told), Target(target) if isinstance(target, str) else target)


def goto(chain: str, *matches: Match) -> Rule:
    """A rule with ``-g``."""
    return Rule(matches, Target(chain, goto=True))


def chain(name: str, *rules: Rule, policy: str | None = None) -> Chain:
    """A chain, built-in where it has a policy."""
    return Chain(name, rules, policy)


def filtering(*chains: Chain, sets: tuple[IpSet, ...] = ()) -> Ruleset:
    """A ruleset of the IPv4 filter table."""
    return Ruleset(ipv4=(Table("filter", chains),), sets=sets)


def packet(words: str = "", base: str = SPEC) -> Packet:
    """A packet of the words, on top of a base they may override."""
    overridden = {word.partition("=")[0] for word in words.split()}
    kept = [word for word in base.split() if word.partition("=")[0] not in overridden]
    return parse_spec([*kept, *words.split()])


def net_set(*members: str, name: str = "s", family: Family = Family.IPV4) -> IpSet:
    """A ``hash:net`` set; a member may be followed by flags."""
    return IpSet(name, "hash:net", family, tuple(tuple(member.split()) for member in members))
