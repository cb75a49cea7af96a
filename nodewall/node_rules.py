"""Public API for the rules of one node: the verdict on a packet, and a search of all packets that get a verdict.

Input: rules compiled from a cluster state, or files of ``iptables-save``, ``ip6tables-save`` and ``ipset save``.
Output: :class:`NodeRules` (:class:`CompiledNode` if compiled), whose answers are values of :mod:`nodewall.results`.

Raises :class:`engine.errors.Refused` for input that does not parse, and for rules that refer to a missing chain or set.
A search raises :class:`engine.errors.NoProof` if a limit of time or memory is reached.
"""

from dataclasses import dataclass, field, fields
from functools import cached_property
from os import PathLike, fspath

from adapters.application.selection import SelectionOptions, families_of, ruleset_of
from adapters.system.budgets import budget
from engine.desired.full import DesiredRuleset, desired_ruleset, linear_ruleset
from engine.errors import Fault, Refused
from engine.rulesets.model import Family, Hook, Ruleset
from engine.rulesets.plan import Tool
from engine.rulesets.text.steps import full_text
from engine.state.fold import ClusterState
from nodewall.results import HookName, ModeName, PacketAnswer, SearchAnswer, VerdictName, one_of
from simulator.analysis.attribution import Attribution
from simulator.analysis.search import SearchMode, SearchQuestion, search
from simulator.expression import parse
from simulator.netfilter import Evaluation, Verdict, Walker
from simulator.packets import parse_spec


@dataclass(frozen=True)
class NodeRules:
    """Rules of one node, from :func:`load_ruleset` or :meth:`Cluster.compile`.

    Attributes:
        ruleset: Chains, rules and sets as values. Their structure may change in a minor version.
        families: Address families that the rules cover. An IPv4 file covers only IPv4, an IPv6 file only IPv6.
    """

    ruleset: Ruleset = field(repr=False)
    families: tuple[Family, ...]

    def verdict(self, packet: str, hook: Hook | HookName | None = None) -> PacketAnswer:
        """Return the verdict on one packet; earlier calls do not affect it.

        Args:
            packet: ``key=value`` words, as of ``simulate --packet``: ``src``, ``dst`` and ``proto`` are required.
            hook: Hook at which to judge the packet. By default OUTPUT for a packet with only ``out``, FORWARD for one
                with ``in`` and ``out``, and INPUT for any other.

        Raises:
            Refused: The words do not parse, the rules do not cover the packet's family, or a rule refers to a missing
                chain or set.
        """
        found = self._evaluation(packet, None if hook is None else one_of(Hook, hook, "hook"))
        return PacketAnswer(
            packet=found.packet.words,
            hook=found.hook,
            verdict=found.verdict,
            reject_with=found.reject_with,
            decided_by=found.decided_by,
            trace=found.trace,
            assumptions=found.assumptions,
        )

    def search(
        self,
        where: str,
        *,
        verdict: Verdict | VerdictName,
        hook: Hook | HookName,
        mode: SearchMode | ModeName = "may",
        max_seconds: float | None = None,
        max_memory: int | None = None,
    ) -> SearchAnswer:
        """Search all packets for those that get a verdict; return their exact number and one example.

        Args:
            where: Expression in pcap-filter syntax that selects packets; an empty one selects every packet.
            verdict: Verdict to look for.
            hook: Hook at which packets are judged.
            mode: ``may`` includes packets whose verdict depends on more than the packet, for example on a rate limit.
                ``must`` excludes them.
            max_seconds: Time limit in seconds.
            max_memory: Memory limit in MiB.

        Raises:
            Refused: The expression does not parse, or a rule refers to a chain or set that does not exist.
            NoProof: A limit was reached.
        """
        asked = SearchQuestion(
            one_of(Hook, hook, "hook"),
            parse(where),
            one_of(Verdict, verdict, "verdict"),
            one_of(SearchMode, mode, "mode"),
        )
        found = search(self.ruleset, asked, self.families, budget(max_seconds, max_memory))
        example = found.example.words if found.example else None
        return SearchAnswer(found.count, example, found.decided_by, found.assumptions)

    def _evaluation(self, packet: str, hook: Hook | None) -> Evaluation:
        asked = parse_spec(packet)
        if asked.family not in self.families:
            raise Refused((Fault("packet", f"found {asked.family}", f"{self.families[0]}, which the rules cover"),))
        return self._walker.verdict(asked, hook)

    def __getstate__(self) -> dict[str, object]:
        """Return the fields without cached values, so that used rules can be copied and sent to other processes."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    @cached_property
    def _walker(self) -> Walker:
        return Walker(self.ruleset)


@dataclass(frozen=True)
class CompiledNode(NodeRules):
    """Rules that nodewall compiles for one node of a cluster.

    Attributes:
        node: Name of the node.
        ipv4: Text for ``iptables-restore --noflush``.
        ipv6: Text for ``ip6tables-restore --noflush``.
        ipset: Text for ``ipset restore``. Load it before the other two texts.
    """

    node: str
    ipv4: str = field(repr=False)
    ipv6: str = field(repr=False)
    ipset: str = field(repr=False)
    _desired: DesiredRuleset = field(repr=False, compare=False)

    def _evaluation(self, packet: str, hook: Hook | None) -> Evaluation:
        # A rule of the optimised layout can serve several policies; the linear layout names the deciding one.
        return self._attribution.of(super()._evaluation(packet, hook))

    @cached_property
    def _attribution(self) -> Attribution:
        return Attribution(linear_ruleset(self._desired))


def compiled(state: ClusterState, node: str) -> CompiledNode:
    """Compile the rules of one node from a cluster state; raises as :meth:`Cluster.compile`."""
    wanted = desired_ruleset(state, node)
    texts = full_text(wanted.ruleset)
    return CompiledNode(
        wanted.ruleset, tuple(Family), node, texts[Tool.IPTABLES], texts[Tool.IP6TABLES], texts[Tool.IPSET], wanted
    )


def load_ruleset(
    *,
    ipv4: str | PathLike[str] | None = None,
    ipv6: str | PathLike[str] | None = None,
    ipset: str | PathLike[str] | None = None,
) -> NodeRules:
    """Read rules from files with the output of iptables-save, ip6tables-save and ipset save.

    Args:
        ipv4: File with the text of ``iptables-save``.
        ipv6: File with the text of ``ip6tables-save``.
        ipset: File with the text of ``ipset save``.

    Raises:
        Refused: Neither ``ipv4`` nor ``ipv6`` is given, or a file cannot be read or parsed.
    """
    if ipv4 is None and ipv6 is None:
        raise Refused((Fault("load_ruleset", "no rules given", "ipv4, ipv6 or both"),))
    files = [None if path is None else fspath(path) for path in (ipv4, ipv6, ipset)]
    options = SelectionOptions(ipv4=files[0], ipv6=files[1], ipset=files[2])
    return NodeRules(ruleset_of(options), families_of(options))
