"""Options that several commands share, gathered into values."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import datetime
from functools import wraps
from typing import TYPE_CHECKING

import click

from adapters.application.selection import SelectionOptions
from adapters.cli.options_packets import PacketOptions
from adapters.eventlog.filter import EventFilter, OutcomeFilter, time_of
from adapters.netfilter.backend_name import BackendName
from engine.rulesets.model import Hook
from engine.state.admission import SubmitMode

if TYPE_CHECKING:
    from _typeshed import DataclassInstance  # there is no such module when the program runs

config_option = click.option(
    "-c", "--config", metavar="FILE", envvar="NODEWALL_CONFIG", help="The node's configuration, nodewall.yaml."
)
hook_option = click.option(
    "--hook", type=click.Choice([hook.value for hook in Hook]), help="With --where: where packets are judged."
)
namespace_option = click.option(
    "--namespace",
    default="kube-system",
    show_default=True,
    metavar="NAME",
    envvar="POD_NAMESPACE",
    help="Where nodewall runs in the cluster.",
)
log_world_option = click.option("--log", metavar="PATH", help="Event log, whose configuration comes before defaults.")

_CLUSTER = (
    click.option("-f", "files", multiple=True, metavar="PATH", help="Manifests: a file, a directory, or - for stdin."),
    click.option("--log", metavar="PATH", help="Event log."),
    click.option("--at", metavar="SEQ|TIME", help="A past state of the log: a sequence or an RFC 3339 time."),
    click.option("--node", metavar="NAME", envvar="NODE_NAME", help="The node whose rules are meant."),
    config_option,
    click.option("--interface", "interfaces", multiple=True, metavar="IF", help="One that the node has; for globs."),
)
_LOG_OF_AGENT = click.option("--log", metavar="PATH", envvar="NODEWALL_LOG", help="Event log, as an agent's.")
_WHERE_FROM = _CLUSTER[:3]
_RAW = (
    click.option("--ipv4", metavar="FILE", help="Text of iptables-save."),
    click.option("--ipv6", metavar="FILE", help="Text of ip6tables-save."),
    click.option("--ipset", metavar="FILE", help="Text of ipset save."),
)
_LIVE = click.option("--live", is_flag=True, help="The running kernel.")
_KERNEL = (
    click.option("--netns", default="", metavar="NAME", help="A named network namespace instead of this one."),
    click.option(
        "--backend",
        type=click.Choice([b.value for b in BackendName]),
        callback=lambda _context, _option, value: value and BackendName(value),
        envvar="NODEWALL_BACKEND",
        help="iptables' backend; auto, the default, takes the one that others use more.",
    ),
)

_LIMITS = (
    click.option("--max-seconds", type=click.FloatRange(min=0), metavar="S", help="Give up after that time."),
    click.option("--max-memory", type=click.IntRange(min=1), metavar="MB", help="Give up beyond that memory."),
)
_MODE = (
    click.option("--delete", is_flag=True, help="These objects are deleted."),
    click.option("--sync", is_flag=True, help="Objects of the log which are not here are deleted."),
)
_KUBERNETES = (
    click.option("--kubeconfig", metavar="FILE", help="Credentials; else the Pod's or of the environment."),
    click.option("--context", metavar="NAME", help="One of the kubeconfig's, instead of its current one."),
)
_FLEET = (
    click.option("--all-nodes", is_flag=True, help="Every node; those with the same rules are judged once."),
    click.option(
        "--executor",
        default="processes",
        metavar="WHERE",
        show_default=True,
        help="Who judges them: processes of this machine, or the workers of dask://HOST:PORT.",
    ),
)
_PACKETS = (
    click.option("--packet", "specs", multiple=True, metavar="SPEC", help="A packet in SPEC words; repeatable."),
    click.option("--pcap", metavar="FILE", help="A capture; connection state follows it."),
    click.option("--in", "in_interface", default="", metavar="IF", help="Where the capture's packets come in."),
    click.option("--out", "out_interface", default="", metavar="IF", help="Where the capture's packets go out."),
    click.option("--stateless", is_flag=True, help="Take every packet of the capture as new."),
    click.option("--split", metavar="FOLDER", help="Write the capture's packets to one capture per verdict there."),
)
_WAY = (
    click.option("--hook", type=click.Choice([hook.value for hook in Hook]), help="Instead of the one IF implies."),
    click.option("--all-hooks", is_flag=True, help="Every hook on the way, with tracking, NAT and routing."),
    click.option("--addresses", metavar="FILE", help="The node's, as ip -json address prints them; for --all-hooks."),
    click.option("--routes", metavar="FILE", help="Its IPv4 routes, as of ip -json route."),
    click.option("--routes6", metavar="FILE", help="Its IPv6 routes, as of ip -json -6 route."),
)

CommandFunction = Callable[..., object]
Decorator = Callable[[CommandFunction], CommandFunction]


@dataclass(frozen=True, slots=True)
class HookOptions:
    """Where packets are judged: at one hook, or at all on their way through a node that may be known."""

    hook: str | None = None
    all_hooks: bool = False
    addresses: str | None = None
    routes: str | None = None
    routes6: str | None = None


@dataclass(frozen=True, slots=True)
class ModeOptions:
    """What giving manifests means."""

    delete: bool = False
    sync: bool = False

    @property
    def mode(self) -> SubmitMode:
        """It as one word; raise ``UsageError`` where it is contradictory."""
        if self.delete and self.sync:
            raise click.UsageError("--delete and --sync exclude each other")
        return SubmitMode.DELETE if self.delete else SubmitMode.SYNC if self.sync else SubmitMode.DECLARE


@dataclass(frozen=True, slots=True)
class KubernetesOptions:
    """Which cluster is meant, and as whom."""

    kubeconfig: str | None = None
    context: str | None = None


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """Where a process answers."""

    address: str
    port: int


def listen_at(_context: click.Context, _option: click.Parameter, value: str | None) -> ListenAddress | None:
    """Return the address and port that a user gave; click's callback."""
    if value is None:
        return None
    address, _, port = value.rpartition(":")
    if not (port.isascii() and port.isdecimal() and 0 < int(port) < 1 << 16):
        raise click.BadParameter(f"found {value!r}; expected PORT, ADDRESS:PORT, [ADDRESS]:PORT or *:PORT")
    return ListenAddress(address.removeprefix("[").removesuffix("]") or "127.0.0.1", int(port))


listen_option = click.option(
    "--listen",
    metavar="[ADDRESS:]PORT",
    callback=listen_at,
    help="Answer /healthz, /readyz and /metrics there; on loopback where no address is named.",
)


@dataclass(frozen=True, slots=True)
class LimitOptions:
    """How much time and memory may be used, in seconds and MiB; None is as much as is there."""

    max_seconds: float | None = None
    max_memory: int | None = None


@dataclass(frozen=True, slots=True)
class FleetOptions:
    """Whether every node is meant, and where they are judged."""

    all_nodes: bool = False
    executor: str = "processes"


def _gathering(name: str, kind: "type[DataclassInstance]", *options: Decorator) -> Decorator:
    """Return a decorator that adds options and passes them on as one value of a kind, under a name."""
    names = {field.name for field in fields(kind)}

    def decorate(function: CommandFunction) -> CommandFunction:
        @wraps(function)
        def call(**values: object) -> object:
            given = {key: values.pop(key) for key in names & values.keys()}
            return function(**{name: kind(**given)}, **values)

        decorated: CommandFunction = call
        for option in reversed(options):
            decorated = option(decorated)
        return decorated

    return decorate


def _time(_context: click.Context, option: click.Parameter, value: str | None) -> datetime | None:
    return None if value is None else time_of(value, option.opts[0])


_EVENTS = (
    click.option("--type", "types", multiple=True, metavar="GLOB", help="Of such a type, as policy.*; repeatable."),
    click.option("--object", "objects", multiple=True, metavar="GLOB", help="About such a KIND/NAME; repeatable."),
    click.option("--since", metavar="TIME", callback=_time, help="Not before this RFC 3339 time."),
    click.option("--until", metavar="TIME", callback=_time, help="Not after this RFC 3339 time."),
    click.option(
        "--outcome",
        "outcomes",
        multiple=True,
        type=click.Choice([each.value for each in OutcomeFilter]),
        help="Of which this came; repeatable.",
    ),
)

cluster_options = _gathering("world", SelectionOptions, *_CLUSTER)
"""Manifests or a log, and a node."""

status_options = _gathering("world", SelectionOptions, _CLUSTER[0], _LOG_OF_AGENT, *_CLUSTER[2:], *_KERNEL, _LIVE)
"""A cluster, which may be what the agent of this node has on record, and the kernel of a node."""

agent_options = _gathering("world", SelectionOptions, *_CLUSTER[:2], *_CLUSTER[3:5], *_KERNEL)
"""The present of a cluster, and the kernel of one of its nodes, on which the rest is seen."""

wanted_options = _gathering("wanted", EventFilter, *_EVENTS)
"""Which events of a log are meant."""

node_options = _gathering("world", SelectionOptions, *_CLUSTER, *_KERNEL)
"""A cluster, and the kernel of one of its nodes."""

world_options = _gathering("world", SelectionOptions, *_CLUSTER, *_RAW, _LIVE, *_KERNEL)
"""Any world that has a ruleset."""

cluster_kernel_options = _gathering(
    "world", SelectionOptions, *(each for each in _CLUSTER if each not in _WHERE_FROM), _KERNEL[1]
)
"""What goes with worlds that are named by arguments."""

kubernetes_options = _gathering("cluster", KubernetesOptions, *_KUBERNETES)
"""Which cluster is meant, and as whom."""

mode_options = _gathering("meant", ModeOptions, *_MODE)
"""What giving manifests means."""

limit_options = _gathering("limits", LimitOptions, *_LIMITS)
"""How much finding out about all packets may take."""

fleet_options = _gathering("fleet", FleetOptions, *_FLEET)
"""Every node of a cluster."""

packet_options = _gathering("asked", PacketOptions, *_PACKETS)
"""Packets in words, or a capture of them."""

followed_options = _gathering("asked", PacketOptions, *_PACKETS[:5])
"""The same, but for writing them."""

way_options = _gathering("way", HookOptions, *_WAY)
"""A hook, or a packet's whole way through a node."""

plan_options = _gathering("world", SelectionOptions, *_CLUSTER, *_KERNEL, _LIVE)
"""The same; ``--live`` says what a plan does anyway."""

kernel_options = _gathering("world", SelectionOptions, *_KERNEL)
"""A kernel alone."""
