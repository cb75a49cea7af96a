"""Pipeline from hostile manifests to restore lines, with a check of the output; shared by the fuzzers."""

import re
import shlex
from io import StringIO

from adapters.inputs.manifests import scan
from engine.desired.full import desired_ruleset
from engine.errors import NodewallError
from engine.events import declaration_of
from engine.rulesets.plan import Tool
from engine.rulesets.text.steps import full_text
from engine.state.admission import SubmitMode
from engine.state.fold import ClusterState, evolve

_CHAIN = r"NW-(?:INPUT|OUTPUT)(?:-BASELINE)?"
_LINES = {
    Tool.IPSET: re.compile(
        r"create nw-[46]-[0-9a-f]{16} hash:net family inet6? maxelem 1048576"
        r"|add nw-[46]-[0-9a-f]{16} [0-9a-f.:]+(?:/[0-9]{1,3})?(?: nomatch)? -exist"
    ),
    Tool.IPTABLES: re.compile(
        rf"\*filter|:{_CHAIN} - \[0:0\]|-A {_CHAIN} [ -~]+|-I (?:INPUT|OUTPUT) 1 [ -~]+ -j {_CHAIN}|COMMIT"
    ),
}
_LINES[Tool.IP6TABLES] = _LINES[Tool.IPTABLES]
_TARGETS = frozenset({"ACCEPT", "DROP", "REJECT", "NFLOG", "NW-INPUT", "NW-OUTPUT"})
_GONE_TO = re.compile(_CHAIN)


def injected(text: str) -> list[str]:
    """Compile manifests for each Node, and return the restore lines that nodewall never writes.

    Raises:
        Exception: any error that is not a refusal.
    """
    state = ClusterState()
    found = scan(("-",), StringIO(text))
    found.judged(state, SubmitMode.DECLARE)
    # Declare the valid objects in spite of faulty ones, because a refusal of all would leave little to check.
    for item in found.objects:
        state = evolve(state, declaration_of(item.object))
    bad: list[str] = []
    for node in sorted(state.nodes):
        try:
            texts = full_text(desired_ruleset(state, node).ruleset)
        except NodewallError:
            continue
        bad += [line for tool in Tool for line in texts[tool].split("\n") if line and not _sound(tool, line)]
    return bad


def _sound(tool: Tool, line: str) -> bool:
    if not _LINES[tool].fullmatch(line):
        return False
    words = shlex.split(line)
    if tool is Tool.IPSET or not words[0].startswith("-"):
        return True
    jumps = [words[at + 1] for at, word in enumerate(words) if word in {"-j", "-g"}]
    return len(jumps) == 1 and (jumps[0] in _TARGETS or _GONE_TO.fullmatch(jumps[0]) is not None)
