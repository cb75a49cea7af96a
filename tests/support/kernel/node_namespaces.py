"""Network namespace for command-line tests, foreign rules for it, and objects to apply."""

import json
import shlex
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from adapters.cli import main
from adapters.netfilter.backend_name import BackendName
from adapters.netfilter.backends import ToolBackend, choose_backend
from adapters.netfilter.iptables import save_output
from adapters.system.process import SystemRunner
from engine.objects import ClusterObject
from engine.policy.resolve import resolve
from engine.rulesets.model import Family
from engine.rulesets.ownership import digest
from tests.support.rulesets.ruleset_builders import cidr, node, policy, world

CONTROL_PLANE = {"node-role.kubernetes.io/control-plane": ""}
NODES = (
    node("cp-1", "192.0.2.1", "2001:db8::1", labels=CONTROL_PLANE),
    node("worker-1", "192.0.2.3", "2001:db8::3"),
)
API = {"port": 6443, "protocol": "TCP"}

FOREIGN = {
    Family.IPV4: """\
*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
-A POSTROUTING -s 10.244.0.0/16 -o eth0 -j MASQUERADE
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:KUBE-FIREWALL - [0:0]
:f2b-sshd - [0:0]
-A INPUT -j KUBE-FIREWALL
-A INPUT -p tcp -m tcp --dport 22 -m comment --comment "it's \\"SSH\\", nodewall or not" -j f2b-sshd
-A INPUT -m set --match-set banned src -j DROP
-A OUTPUT -j KUBE-FIREWALL
-A KUBE-FIREWALL -m mark --mark 0x8000/0x8000 -j DROP
-A f2b-sshd -s 203.0.113.9/32 -j REJECT --reject-with icmp-port-unreachable
-A f2b-sshd -j RETURN
COMMIT
""",
    Family.IPV6: """\
*filter
:INPUT DROP [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:KUBE-FIREWALL - [0:0]
-A INPUT -j KUBE-FIREWALL
-A INPUT -p ipv6-icmp -j ACCEPT
-A KUBE-FIREWALL -j RETURN
COMMIT
""",
}
FOREIGN_SETS = """\
create banned hash:ip family inet hashsize 1024 maxelem 65536 bucketsize 12 initval 0x12345678
add banned 203.0.113.66
create ports bitmap:port range 1-1024
"""


@dataclass(slots=True)
class NodeUnderTest:
    """Network namespace as a Node, and the command line on it."""

    netns: str
    backend: str
    folder: Path
    capsys: pytest.CaptureFixture[str]
    _files: int = field(default=0)

    @property
    def runner(self) -> SystemRunner:
        """Runner that starts programs in the namespace."""
        return SystemRunner(self.netns)

    @property
    def kernel(self) -> ToolBackend:
        """Backend of the namespace."""
        return choose_backend(self.runner, BackendName(self.backend))

    def run(self, line: str, stdin: str = "") -> str:
        """Run a command in the namespace and return its output; iptables programs are those of the backend."""
        tool, *rest = shlex.split(line)
        if tool.startswith("ip") and "tables" in tool:
            name, _, end = tool.partition("-")
            tool = "-".join(filter(None, (name, self.backend, end)))
        if tool.endswith("-save"):
            return save_output(self.runner, tool, *rest)
        return self.runner.run([tool, *rest], stdin).or_refused(tool)

    def texts(self) -> dict[str, list[str]]:
        """Return the output of the save programs, without comments and counters."""
        return {tool: plain(self.run(tool)) for tool in ("iptables-save", "ip6tables-save", "ipset save")}

    def load_foreign(self) -> None:
        """Load foreign rules and sets."""
        self.run("ipset restore", FOREIGN_SETS)
        self.run("iptables-restore", FOREIGN[Family.IPV4])
        self.run("ip6tables-restore", FOREIGN[Family.IPV6])

    def manifests(self, *objects: ClusterObject) -> str:
        """Write the Nodes and the objects to a new file, and return its path."""
        self._files += 1
        path = self.folder / f"{self._files}.yaml"
        documents = (item.model_dump_json(by_alias=True, exclude_none=True) for item in (*NODES, *objects))
        path.write_text("\n---\n".join(documents))
        return str(path)

    def nodewall(self, *words: str) -> tuple[int, str, str]:
        """Run nodewall on the namespace; return the exit code, standard output and standard error."""
        self.capsys.readouterr()
        code = main([*words, "--netns", self.netns, "--backend", self.backend])
        printed = self.capsys.readouterr()
        return code, printed.out, printed.err

    def json(self, *words: str) -> dict[str, object]:
        """Run nodewall, which must succeed, and return its JSON."""
        code, out, err = self.nodewall(*words, "-o", "json")
        assert code == 0, err
        found: dict[str, object] = json.loads(out)
        return found

    def apply(self, *objects: ClusterObject) -> object:
        """Apply the objects, and return the number of operations."""
        found = self.json("apply", "-f", self.manifests(*objects), "--node", "cp-1", "--yes")
        assert (found["applied"], found["verified"]) == (True, True)
        return found["ops"]

    def ops(self, *objects: ClusterObject) -> list[dict[str, str]]:
        """Return the planned operations for the objects."""
        found = self.json("plan", "-f", self.manifests(*objects), "--node", "cp-1")["ops"]
        assert isinstance(found, list)
        return found


def plain(text: str) -> list[str]:
    """Return the lines of a save program's output without comments and packet counters."""
    lines = (line.partition(" [")[0] if line.startswith(":") else line for line in text.splitlines())
    return [line for line in lines if not line.startswith("#")]


def allow(name: str, *networks: str, priority: float = 5.0) -> ClusterObject:
    """Return a policy that allows networks to reach the API server."""
    rule = {"action": "Allow", "ports": [API], "from": [cidr(text) for text in networks]}
    return policy(name, ingress=[rule], priority=priority)


def drop_all() -> ClusterObject:
    """Return a policy that drops packets that no other policy allows."""
    return policy("last", ingress=[{"action": "Drop"}], tier="baseline")


WORLD = (allow("clients", "10.0.0.0/24", "10.9.0.0/16", "fd00:9::/32"), drop_all())
"""For IPv4, it compiles to a jump, and in NW-INPUT to the static rules and one rule for each policy."""


def set_of(name: str, family: Family) -> str:
    """Return the set name of the only rule in a policy made by ``allow``."""
    rules = resolve(world(*NODES, allow(name, "10.0.0.0/24")), "cp-1")
    (found,) = (rule.id for rule in rules if rule.policy == name)
    return f"nw-{4 if family is Family.IPV4 else 6}-{digest(found)}"


def many() -> list[ClusterObject]:
    """Return 200 policies for one Node, with both families and directions, exceptions, ranges and every action."""
    return [
        policy(
            f"p-{number:03}",
            ingress=[
                {
                    "action": ("Allow", "Drop", "Reject")[number % 3],
                    "from": [
                        *(cidr(f"10.{number}.{part}.0/24") for part in range(8)),
                        *(cidr(f"fd00:{number:x}:{part:x}::/48") for part in range(8)),
                        {"ipBlock": {"cidr": f"172.16.{number}.0/24", "except": [f"172.16.{number}.64/26"]}},
                        {"nodeSelector": {}},
                    ],
                    "ports": [{"port": 1000 + number}, {"port": 5000, "endPort": 5000 + number, "protocol": "UDP"}],
                }
            ],
            egress=[{"action": "Reject", "to": [cidr(f"198.18.{number}.0/24")], "ports": [{"port": 25}]}],
            tier=("emergency", "application", "baseline")[number % 3],
            priority=float(1 + number % 7),
        )
        for number in range(200)
    ]
