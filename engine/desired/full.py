"""Compiles the desired ruleset of one node from the cluster state, in full.

Input: `ClusterState` and a node name. Output: `DesiredRuleset`: the effective rules, the compiler options and the
compiled `Ruleset`. Errors: `UnknownNode`, and `Refused` for a policy whose tier does not exist.
:mod:`engine.desired.incremental` gives the same result event by event.
"""

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
    """Effective rules of a node, the options for compiling them, and the compiled ruleset."""

    rules: tuple[CompletedRule, ...]
    options: CompilerOptions
    ruleset: Ruleset


def desired_ruleset(state: ClusterState, node: str) -> DesiredRuleset:
    """Return the desired ruleset of a node; empty if the feature gate is off.

    Raises:
        UnknownNode: the state has no such node.
        Refused: a policy names a tier that the state lacks.
    """
    rules = resolve(state, node)
    options = options_of(state, node)
    return DesiredRuleset(rules, options, compile_rules(rules, options))


def linear_ruleset(wanted: DesiredRuleset) -> Ruleset:
    """Return the ruleset in the linear layout, in which each kernel rule belongs to one policy rule."""
    if wanted.options.layout is Layout.LINEAR:
        return wanted.ruleset
    return compile_rules(wanted.rules, replace(wanted.options, layout=Layout.LINEAR))


def options_of(state: ClusterState, node: str) -> CompilerOptions:
    """Return the compiler options of a node from its configuration and host facts."""
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
    """Return interface globs as iptables names; globs that iptables lacks become the matching host interfaces."""
    if not config.interfaces:
        return None
    found: set[str] = set()
    for glob in config.interfaces:
        stem = glob.removesuffix("*")
        if not set(stem) & set("*?["):
            found.add(f"{stem}+" if stem != glob else glob)
        else:
            found |= {name for name in present if fnmatchcase(name, glob)}
    if "+" in found:  # iptables drops this match, since it matches every interface
        return None
    return tuple(sorted(name for name in found if not any(_covered(name, other) for other in found)))


def _covered(name: str, other: str) -> bool:
    """Return whether another entry covers this one."""
    return name != other and other.endswith("+") and name.removesuffix("+").startswith(other[:-1])
