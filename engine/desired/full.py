"""What a node shall have in force, as the state and its configuration say: its rules, and what they compile to."""

from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from engine.compiler import CompilerOptions, Layout, LogTarget, compile_rules
from engine.objects.config import Configuration
from engine.policy.completed_rules import CompletedRule
from engine.policy.resolve import resolve
from engine.rulesets.model import Ruleset
from engine.state.fold import ClusterState


@dataclass(frozen=True, slots=True)
class DesiredRuleset:
    """The effective rules of a node, how they are enforced, and what that amounts to."""

    rules: tuple[CompletedRule, ...]
    options: CompilerOptions
    ruleset: Ruleset


def desired(state: ClusterState, node: str) -> DesiredRuleset:
    """Return what a node shall have in force; nothing at all where the feature gate is shut.

    Raises:
        UnknownNode: the state has no such node.
        Refused: a policy names a tier that the state lacks.
    """
    rules = resolve(state, node)
    options = options_of(state, node)
    return DesiredRuleset(rules, options, compile_rules(rules, options))


def linear(wanted: DesiredRuleset) -> Ruleset:
    """Return what is desired with one kernel rule after the other, each of one rule of a policy."""
    if wanted.options.layout is Layout.LINEAR:
        return wanted.ruleset
    return compile_rules(wanted.rules, replace(wanted.options, layout=Layout.LINEAR))


def options_of(state: ClusterState, node: str) -> CompilerOptions:
    """Return how the rules of a node are enforced."""
    config = state.config
    return CompilerOptions(
        enabled=config.feature_gates.node_network_policy,
        families=tuple(sorted(config.families)),
        interfaces=_interfaces(config, state.hosts[node].interfaces if node in state.hosts else ()),
        jumps_last=config.jump_position == "Last",
        allow="ACCEPT" if config.allow_action == "Accept" else "RETURN",
        layout=Layout(config.layout.lower()),
        log=LogTarget(
            config.logging.target == "kernel", config.logging.group, config.logging.rate, config.logging.burst
        ),
    )


def _interfaces(config: Configuration, present: tuple[str, ...]) -> tuple[str, ...] | None:
    """Return the globs as iptables takes them; what it cannot take becomes the names that are present."""
    if not config.interfaces:
        return None
    found: set[str] = set()
    for glob in config.interfaces:
        stem = glob.removesuffix("*")
        if not set(stem) & set("*?["):
            found.add(f"{stem}+" if stem != glob else glob)
        else:
            found |= {name for name in present if fnmatchcase(name, glob)}
    if "+" in found:  # which iptables takes for no condition at all, and shows as none
        return None
    return tuple(sorted(name for name in found if not any(_covered(name, other) for other in found)))


def _covered(name: str, other: str) -> bool:
    """Return whether another entry means all that this one means."""
    return name != other and other.endswith("+") and name.removesuffix("+").startswith(other[:-1])
