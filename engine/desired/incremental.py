"""Updates the desired ruleset of one node after each event, without compiling everything again.

Input: a `ClusterState` and `EventBody` values. Output: a new `Derivation` per event, which always equals the result of
:func:`engine.desired.full.desired_ruleset` on the same state. Only what depends on the event is recomputed. A
`Derivation` is immutable, so earlier ones stay valid. Raises `UnknownNode` and `Refused`, as the full compilation does.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from engine.compiler import CompilerOptions, LayoutCaches, RulePart, assemble, assemble_incrementally, compile_part
from engine.desired.full import DesiredRuleset, options_of
from engine.events import CONFIGURATION, EventBody, affects_rules
from engine.policy.completed_rules import CompletedRule, Plane
from engine.policy.incremental import QueryCache
from engine.policy.resolve import PolicyRulesQuery, root_queries, rules_of
from engine.rulesets.model import Ruleset
from engine.state.fold import ClusterState, effect_of


@dataclass(frozen=True, slots=True)
class Derivation:
    """A state and the desired ruleset of one node; ``desired`` is None while the state lacks the node.

    ``recomputed`` names the policies whose rules the last event recomputed; at the start, all policies.
    """

    node: str
    state: ClusterState
    desired: DesiredRuleset | None
    recomputed: tuple[str, ...]
    answers: QueryCache
    parts: Mapping[str, RulePart] = field(default_factory=dict)
    memories: LayoutCaches = field(default_factory=dict, compare=False)
    """Compiler caches, shared by all derivations from one start; they never affect the result."""

    @property
    def ruleset(self) -> Ruleset:
        """The desired ruleset, empty if the node does not exist."""
        return self.desired.ruleset if self.desired else Ruleset()

    def after(self, body: EventBody) -> "Derivation":
        """Return the derivation after one more event; raises what :func:`engine.desired.full.desired_ruleset` does."""
        return self.through((body,))

    def through(self, bodies: Iterable[EventBody]) -> "Derivation":
        """Return the derivation after several events, compiling only the last state; raises what `after` does.

        ``recomputed`` then names the policies that any of the events recomputed.
        """
        found, names = self, set[str]()
        answers = self.answers
        for body in bodies:
            change = effect_of(found.state, body)
            state = found.state.with_effect(change)
            if change is None or not affects_rules(change.kind):
                found = replace(found, state=state)
                continue
            if change.kind == CONFIGURATION or found.desired is None or self.node not in state.nodes:
                found = derive(state, self.node)
                answers, names = found.answers, set(found.recomputed)
                continue
            answers, again = answers.after(change, state)
            names |= {change.key} if change.kind == "ClusterNetworkPolicy" else set()
            names |= {query.policy for query in again if isinstance(query, PolicyRulesQuery)}
            if len(state.policies) != len(found.state.policies) or not answers.same_dependencies(again):
                answers = answers.only(root_queries(state, self.node))
            found = replace(found, state=state)
        wanted, parts = found.desired, found.parts
        if wanted is not None and answers is not found.answers:
            wanted, parts = _compiled(answers, self.node, found.memories, wanted, parts)
        return replace(found, desired=wanted, recomputed=tuple(sorted(names)), answers=answers, parts=parts)


def derive(state: ClusterState, node: str) -> Derivation:
    """Return the derivation of a state from scratch; raises what :func:`engine.desired.full.desired_ruleset` does."""
    answers = QueryCache(state)
    if node not in state.nodes:
        return Derivation(node, state, None, (), answers)
    memories: LayoutCaches = {}
    wanted, parts = _compiled(answers, node, memories)
    return Derivation(node, state, wanted, tuple(sorted(state.policies)), answers, parts, memories)


def _compiled(
    answers: QueryCache,
    node: str,
    memories: LayoutCaches,
    before: DesiredRuleset | None = None,
    parts: Mapping[str, RulePart] = MappingProxyType({}),
) -> tuple[DesiredRuleset, Mapping[str, RulePart]]:
    """Return the desired ruleset and the part of each rule, reusing parts whose rule and options are unchanged."""
    rules, options = rules_of(answers, node), options_of(answers.state, node)
    if before is not None and (before.rules, before.options) == (rules, options):
        return before, parts
    known = parts if before is not None and before.options == options else {}
    made = {rule.id: _part(rule, options, known.get(rule.id)) for rule in rules if rule.plane is Plane.NODES}
    new = tuple(made.values())
    if before is None or not known:
        return DesiredRuleset(rules, options, assemble(new, options, memories)), made
    return DesiredRuleset(
        rules, options, assemble_incrementally(before.ruleset, tuple(known.values()), new, options, memories)
    ), made


def _part(rule: CompletedRule, options: CompilerOptions, known: RulePart | None) -> RulePart:
    if known is not None and (known.rule is rule or known.rule == rule):
        return known
    return compile_part(rule, options)
