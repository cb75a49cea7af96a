"""Symbolic context: several rulesets of one address family in one packet space, so that their verdicts can be compared.

Input: the rulesets, and all questions (packet expressions and formulas). Both are needed in advance, because they
determine which packets must be distinguished. Output of its methods: packet sets, such as the packets of each verdict
at a hook.

Raises `NoProof` if the `Budget` of memory or time is exceeded, and `KeyError` for a question that was not declared.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from engine.rulesets.model import Hook
from simulator import expression
from simulator.expression import Expression
from simulator.matches.formula import FALSE, And, Formula, Not, Or
from simulator.packet_sets.bdd import DEFAULT_NODES, BddFunction, TimeCheck, within_limits
from simulator.packet_sets.counting import example
from simulator.packet_sets.space import PacketSpace
from simulator.symbolic.changed_rules import affected_packets
from simulator.symbolic.reachability import DecidedPackets, HookOutcome, Reachability, deciders
from simulator.symbolic.symbolic_rules import SymbolicRuleset, SymbolicRulesetReader

PacketQuestion = Expression | Formula
"""Condition on packets, as a user's `Expression` or a `Formula`."""


def _endless() -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Budget:
    """Limits of a packet space: diagram nodes (about 32 bytes each), and a check whether time is left."""

    nodes: int = DEFAULT_NODES
    patience: TimeCheck = _endless


UNLIMITED = Budget()


@dataclass(eq=False, slots=True)
class SymbolicContext:
    """Rulesets in one packet space; all questions must be declared when it is built."""

    space: PacketSpace
    library: SymbolicRulesetReader
    _courses: Reachability
    _formulas: dict[PacketQuestion, Formula] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        library: SymbolicRulesetReader,
        worlds: Sequence[SymbolicRuleset],
        questions: Iterable[PacketQuestion] = (),
        budget: Budget = UNLIMITED,
        like: "SymbolicContext | None" = None,
    ) -> "SymbolicContext":
        """Return the context of these rulesets.

        Args:
            library: Reader that read the rulesets.
            worlds: The rulesets.
            questions: Conditions that `meant` can be asked for.
            budget: Limits of memory and time.
            like: Another context, whose results are reused where possible.

        Raises:
            NoProof: the node limit is too small.
        """
        formulas = {question: formula_of(question, library) for question in questions}
        conditions = [each for world in worlds for each in world.conditions()] + list(formulas.values())
        # Connection tracking reassembles fragments before any rule sees them.
        fragments = not any(world.tracked for world in worlds)
        with within_limits():
            known = like.space if like is not None else None
            space = PacketSpace.of(library.family, conditions, fragments=fragments, nodes=budget.nodes, like=known)
        return cls(space, library, Reachability(space, budget.patience), formulas)

    def fates(self, world: SymbolicRuleset, hook: Hook, within: BddFunction | None = None) -> HookOutcome:
        """Return the outcome of all packets at a hook, or only of those in ``within``.

        Raises:
            NoProof: memory or time ran out.
        """
        with within_limits():
            return self._courses.fates(world, hook, within)

    def decided(self, world: SymbolicRuleset, hook: Hook, found: BddFunction) -> DecidedPackets:
        """Return the rule that decides an ordinary packet of a non-empty set, and all packets in it that it decides.

        Raises:
            NoProof: memory or time ran out.
        """
        fates = self.fates(world, hook)
        with within_limits():
            ends, usual = deciders(fates, found), example(self.space, found)
            return next((end for end in ends if usual is not None and usual.is_in(end.packets)), ends[0])

    def touched(self, old: SymbolicRuleset, new: SymbolicRuleset, hook: Hook) -> BddFunction:
        """Return a packet set outside which both rulesets give equal verdicts at a hook.

        Raises:
            NoProof: memory ran out.
        """
        with within_limits():
            return affected_packets(self.space, old, new, hook)

    def meant(self, question: PacketQuestion) -> BddFunction:
        """Return the packets that satisfy a question.

        Raises:
            NoProof: memory ran out.
            KeyError: the question was not declared when the context was built.
        """
        with within_limits():
            return self.space.function(self._formulas[question])


def formula_of(asked: PacketQuestion, library: SymbolicRulesetReader) -> Formula:
    """Return a question as a condition on packets of the reader's family."""
    match asked:
        case expression.Leaf(matches, family):
            return library.condition(matches) if family in {None, library.family} else FALSE
        case expression.Negated(part):
            return Not(formula_of(part, library))
        case expression.AllOf(parts):
            return And(tuple(formula_of(part, library) for part in parts))
        case expression.AnyOf(parts):
            return Or(tuple(formula_of(part, library) for part in parts))
        case _:
            return asked
