"""Public Python API: compile policies to rules, compute verdicts of packets, and search, compare and prove rules.

Input: manifests, an event log, or the output of iptables-save. The names in ``__all__`` follow semantic versioning; all
other modules of this distribution are internal. A name is imported at its first use, so ``import nodewall`` is fast.

Errors are subclasses of :class:`NodewallError`. The reference with examples is ``docs/reference/python.md``.
"""

from importlib import import_module, metadata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.errors import LogError, NodewallError, NoProof, Refused, UnknownNode
    from engine.rulesets.model import Family, Hook, Ruleset
    from nodewall.clusters import Cluster, load, load_log
    from nodewall.comparison import diff, prove
    from nodewall.node_rules import CompiledNode, NodeRules, load_ruleset
    from nodewall.results import Invariant, PacketAnswer, Proof, SearchAnswer, VerdictDifference
    from simulator.analysis.invariants import InvariantKind
    from simulator.analysis.search import SearchMode
    from simulator.netfilter import Decision, TraceStep, Verdict

    __version__: str
else:
    _MODULES = {
        "engine.errors": "LogError NoProof NodewallError Refused UnknownNode",
        "engine.rulesets.model": "Family Hook Ruleset",
        "nodewall.clusters": "Cluster load load_log",
        "nodewall.comparison": "diff prove",
        "nodewall.node_rules": "CompiledNode NodeRules load_ruleset",
        "nodewall.results": "Invariant PacketAnswer Proof SearchAnswer VerdictDifference",
        "simulator.analysis.invariants": "InvariantKind",
        "simulator.analysis.search": "SearchMode",
        "simulator.netfilter": "Decision TraceStep Verdict",
    }
    _HOMES = {name: module for module, names in _MODULES.items() for name in names.split()}

    def __getattr__(name: str) -> object:
        """Import a public name when it is first used."""
        if name == "__version__":
            value = metadata.version("nodewall")
        elif name in _HOMES:
            value = getattr(import_module(_HOMES[name]), name)
        else:
            raise AttributeError(f"module 'nodewall' has no attribute {name!r}")
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        """List the public names, imported or not."""
        return sorted({*globals(), *__all__})


__all__ = [
    "Cluster",
    "CompiledNode",
    "Decision",
    "Family",
    "Hook",
    "Invariant",
    "InvariantKind",
    "LogError",
    "NoProof",
    "NodeRules",
    "NodewallError",
    "PacketAnswer",
    "Proof",
    "Refused",
    "Ruleset",
    "SearchAnswer",
    "SearchMode",
    "TraceStep",
    "UnknownNode",
    "Verdict",
    "VerdictDifference",
    "__version__",
    "diff",
    "load",
    "load_log",
    "load_ruleset",
    "prove",
]
