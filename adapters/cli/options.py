"""Options that several commands share, gathered into values."""

from collections.abc import Callable
from dataclasses import fields
from functools import wraps

import click

from adapters.kernel import Backend
from adapters.world import WorldOptions

config_option = click.option(
    "-c", "--config", metavar="FILE", envvar="NODEWALL_CONFIG", help="The node's configuration, nodewall.yaml."
)
log_world_option = click.option("--log", metavar="PATH", help="Event log, whose configuration comes before defaults.")

_CLUSTER = (
    click.option("-f", "files", multiple=True, metavar="PATH", help="Manifests: a file, a directory, or - for stdin."),
    click.option("--log", metavar="PATH", help="Event log."),
    click.option("--at", metavar="SEQ|TIME", help="A past state of the log: a sequence or an RFC 3339 time."),
    click.option("--node", metavar="NAME", help="The node whose rules are meant."),
    config_option,
    click.option("--interface", "interfaces", multiple=True, metavar="IF", help="One that the node has; for globs."),
)
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
        type=click.Choice([b.value for b in Backend]),
        envvar="NODEWALL_BACKEND",
        help="iptables' backend; auto, the default, takes the one that holds more rules.",
    ),
)

Function = Callable[..., object]
Decorator = Callable[[Function], Function]


def _gathering(*options: Decorator) -> Decorator:
    """Return a decorator that adds options and passes them on as one ``WorldOptions`` named ``world``."""
    names = {field.name for field in fields(WorldOptions)}

    def decorate(function: Function) -> Function:
        @wraps(function)
        def call(**values: object) -> object:
            given = {name: values.pop(name) for name in names & values.keys()}
            if given.get("backend"):
                given["backend"] = Backend(str(given["backend"]))
            return function(world=WorldOptions(**given), **values)  # type: ignore[arg-type] # click checked them

        decorated: Function = call
        for option in reversed(options):
            decorated = option(decorated)
        return decorated

    return decorate


cluster_options = _gathering(*_CLUSTER)
"""Manifests or a log, and a node."""

node_options = _gathering(*_CLUSTER, *_KERNEL)
"""A cluster, and the kernel of one of its nodes."""

world_options = _gathering(*_CLUSTER, *_RAW, _LIVE, *_KERNEL)
"""Any world that has a ruleset."""

plan_options = _gathering(*_CLUSTER, *_KERNEL, _LIVE)
"""The same; ``--live`` says what a plan does anyway."""

kernel_options = _gathering(*_KERNEL)
"""A kernel alone."""
