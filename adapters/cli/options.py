"""Command-line options that several commands share, and the dataclasses that hold their values.

Each decorator, such as ``cluster_options``, adds a group of click options to a command, and passes their values as one
dataclass. Input: the arguments of a command. Output: for example :class:`SelectionOptions` (cluster, Node and kernel)
or :class:`LimitOptions` (time and memory).

Raises click's ``UsageError`` and ``BadParameter``, and ``Refused`` for a time that is not in RFC 3339 format.
"""

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
    from _typeshed import DataclassInstance  # for type checkers only; does not exist at run time

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
    """Hooks at which packets are judged: one, or all on the path through a Node.

    The paths of files with addresses and routes of the Node are for the latter.
    """

    hook: str | None = None
    all_hooks: bool = False
    addresses: str | None = None
    routes: str | None = None
    routes6: str | None = None


@dataclass(frozen=True, slots=True)
class ModeOptions:
    """Effect of the given manifests: declare (default), delete, or sync."""

    delete: bool = False
    sync: bool = False

    @property
    def mode(self) -> SubmitMode:
        """The options as a ``SubmitMode``; raise ``UsageError`` if both are set."""
        if self.delete and self.sync:
            raise click.UsageError("--delete and --sync exclude each other")
        return SubmitMode.DELETE if self.delete else SubmitMode.SYNC if self.sync else SubmitMode.DECLARE


@dataclass(frozen=True, slots=True)
class KubernetesOptions:
    """Cluster and credentials, as a kubeconfig file and a context of it."""

    kubeconfig: str | None = None
    context: str | None = None


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """Address and TCP port on which a process listens."""

    address: str
    port: int


def listen_at(_context: click.Context, _option: click.Parameter, value: str | None) -> ListenAddress | None:
    """Parse ``PORT``, ``ADDRESS:PORT`` or ``*:PORT`` as a click callback; the default address is 127.0.0.1."""
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
    """Limits on time in seconds and on memory in MiB; None means no limit."""

    max_seconds: float | None = None
    max_memory: int | None = None


@dataclass(frozen=True, slots=True)
class FleetOptions:
    """Selection of all Nodes, and the executor that judges them."""

    all_nodes: bool = False
    executor: str = "processes"


def _gathering(name: str, kind: "type[DataclassInstance]", *options: Decorator) -> Decorator:
    """Return a decorator that adds options, and passes their values as one ``kind`` in the argument ``name``.

    Args:
        name: the argument of the command function.
        kind: the dataclass; an option belongs to it if a field has the option's parameter name.
        options: the click options to add.
    """
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
    """Parse an RFC 3339 time, as a click callback; raise ``Refused`` for other text."""
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
"""Options for a cluster state, from manifests or a log, and a Node."""

status_options = _gathering("world", SelectionOptions, _CLUSTER[0], _LOG_OF_AGENT, *_CLUSTER[2:], *_KERNEL, _LIVE)
"""Options for a cluster state, by default of the agent's log, and for the kernel of a Node."""

agent_options = _gathering("world", SelectionOptions, *_CLUSTER[:2], *_CLUSTER[3:5], *_KERNEL)
"""Options for the current cluster state and the kernel of a Node; the agent observes the interfaces itself."""

wanted_options = _gathering("wanted", EventFilter, *_EVENTS)
"""Options that filter the events of a log."""

node_options = _gathering("world", SelectionOptions, *_CLUSTER, *_KERNEL)
"""Options for a cluster state, and the kernel of one Node."""

world_options = _gathering("world", SelectionOptions, *_CLUSTER, *_RAW, _LIVE, *_KERNEL)
"""Options for a ruleset: compiled from a cluster state, raw text, or the running kernel."""

cluster_kernel_options = _gathering(
    "world", SelectionOptions, *(each for each in _CLUSTER if each not in _WHERE_FROM), _KERNEL[1]
)
"""Options for commands whose sources are arguments, such as ``diff``."""

kubernetes_options = _gathering("cluster", KubernetesOptions, *_KUBERNETES)
"""Options for a Kubernetes cluster and credentials."""

mode_options = _gathering("meant", ModeOptions, *_MODE)
"""Options for the effect of manifests: delete or sync."""

limit_options = _gathering("limits", LimitOptions, *_LIMITS)
"""Options for limits on time and memory of analyses of all packets."""

fleet_options = _gathering("fleet", FleetOptions, *_FLEET)
"""Options for a judgement of all Nodes of a cluster."""

packet_options = _gathering("asked", PacketOptions, *_PACKETS)
"""Options for packets, as SPEC words or a capture."""

followed_options = _gathering("asked", PacketOptions, *_PACKETS[:5])
"""Options for packets, without ``--split``."""

way_options = _gathering("way", HookOptions, *_WAY)
"""Options for one hook, or for the whole path of a packet through a Node."""

plan_options = _gathering("world", SelectionOptions, *_CLUSTER, *_KERNEL, _LIVE)
"""Options for a cluster state and the kernel of one Node; ``--live`` is accepted and changes nothing."""

kernel_options = _gathering("world", SelectionOptions, *_KERNEL)
"""Options for a kernel: network namespace and backend."""
