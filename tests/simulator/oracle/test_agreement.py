"""Compiled rules do to packets what the policies say, over random worlds of the whole language.

What the policies say comes from :mod:`simulator.oracle`, which shares no code with resolution and compilation.
"""

from collections import Counter

from engine.desired.full import DesiredRuleset, desired_ruleset
from engine.policy.completed_rules import Direction
from engine.rulesets.text.steps import full_text
from simulator.netfilter import Evaluation, Walker
from simulator.oracle import Explanation, evaluate
from simulator.packets import Packet
from tests.support.packets.edge_packets import packets_of
from tests.support.policies.random_clusters import NODE, World, drawn, shrunk
from tests.support.rulesets.ruleset_builders import SOAK

WORLDS = 10_000 if SOAK else 100
PACKETS = 50


def complaint(world: World) -> str:
    """Return all that is needed to see a mismatch again, of the smallest world that shows it."""
    small = shrunk(world, lambda smaller: bool(mismatches(smaller)))
    wanted = desired_ruleset(small.state, NODE)
    (packet, explanation, answer), *_ = mismatches(small) or mismatches(world)
    return "\n".join(
        (
            f"world {world.seed!r}: {packet.words}",
            f"the policies say {explanation.action or 'nothing'}: {explanation.decided_by}",
            f"the rules say {answer.verdict} by {answer.decided_by}",
            f"logged by {explanation.logged_by}, {answer.logged_by}",
            *(item.model_dump_json(exclude_none=True, exclude_defaults=True, by_alias=True) for item in small.objects),
            small.config.model_dump_json(exclude_defaults=True, by_alias=True),
            *full_text(wanted.ruleset).values(),
        )
    )


def mismatches(world: World) -> list[tuple[Packet, Explanation, Evaluation]]:
    """Return the packets of a world about which policies and rules differ."""
    state = world.state
    wanted = desired_ruleset(state, NODE)
    walker = Walker(wanted.ruleset)
    judged = ((packet, evaluate(packet, state, NODE), walker.verdict(packet)) for packet in packets_of(world, PACKETS))
    return [each for each in judged if not agree(wanted, each[1], each[2])]


def agree(wanted: DesiredRuleset, explanation: Explanation, answer: Evaluation) -> bool:
    """Return whether verdict, way of rejection, deciding rule and logging are the same, and nothing was assumed."""
    same = (answer.verdict, answer.reject_with) == (explanation.verdict, explanation.reject_with)
    logs = [named(wanted, explanation, each.index, each.policy) for each in explanation.logged_by]
    return (
        same
        and decider(wanted, explanation) == told(answer)
        and list(answer.logged_by) == logs
        and not answer.assumptions
    )


def decider(wanted: DesiredRuleset, explanation: Explanation) -> tuple[str, str] | None:
    """Return the policy and the rule that decide; where the host's rules have the last word, nobody."""
    by = explanation.decided_by
    if by is None or (explanation.action == "Allow" and wanted.options.allow == "RETURN"):
        return None
    return (by.policy, by.rule) if by.index < 0 else named(wanted, explanation, by.index, by.policy)


def named(wanted: DesiredRuleset, explanation: Explanation, index: int, policy: str) -> tuple[str, str]:
    """Return a rule by its policy and the name it has in the kernel."""
    direction = Direction.INGRESS if explanation.packet.in_interface else Direction.EGRESS
    places = {(rule.policy, rule.direction, rule.rank.index): rule.name for rule in wanted.rules}
    return policy, places.get((policy, direction, index), f"{direction}[{index}], which is not resolved")


def told(answer: Evaluation) -> tuple[str, str] | None:
    """Return the policy and the rule that the compiled rules say decided."""
    by = answer.decided_by
    return (by.policy, by.policy_rule or "") if by is not None and by.policy is not None else None


def test_the_rules_do_what_the_policies_say() -> None:
    """In random worlds, compiled rules decide on every packet as the policies do, by the same rule, logging the same."""
    verdicts: Counter[str] = Counter()
    for number in range(WORLDS):
        world = drawn(f"world {number}")
        assert not mismatches(world), complaint(world)
        if number < 100:
            verdicts.update(evaluate(packet, world.state, NODE).action for packet in packets_of(world, PACKETS))

    # It would not tell much if most packets fared alike.
    assert min(verdicts[action] for action in ("Allow", "Drop", "Reject", "")) > 100 * PACKETS // 50
