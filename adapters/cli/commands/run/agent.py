"""``nodewall agent``: keeps the rules of one Node applied until SIGTERM or SIGINT.

Input: an event log or manifests, a Node, and optionally the API server of its cluster. Output: rules in the kernel,
which stay when the agent ends unless ``--remove-on-exit`` is given. :mod:`adapters.application.agent_assembly` builds
the agent from the options.

Raises ``Refused`` for options that contradict each other. Raises ``LogError`` or ``KernelError`` if the event log or a
tool fails at the start.
"""

from functools import partial

import click

from adapters.application.agent_assembly import AgentOptions, ClusterAccess, run_agent
from adapters.application.node_access import NodeAccess
from adapters.application.selection import Selection, SelectionOptions
from adapters.cli.options import (
    KubernetesOptions,
    LimitOptions,
    ListenAddress,
    agent_options,
    kubernetes_options,
    limit_options,
    listen_option,
)
from adapters.system.budgets import budget


@click.command("agent")
@agent_options
@limit_options
@click.option("--remove-on-exit", is_flag=True, help="Take the rules off the node when the agent ends.")
@click.option("--kubernetes", is_flag=True, help="Record what a cluster's API server tells, and report to it.")
@kubernetes_options
@listen_option
def agent_command(
    world: SelectionOptions,
    limits: LimitOptions,
    remove_on_exit: bool,
    kubernetes: bool,
    cluster: KubernetesOptions,
    listen: ListenAddress | None,
) -> None:
    """Keep a node's rules in force: follow the log, and undo what others do to them.

    Ends by SIGTERM or SIGINT, and leaves the rules in force.
    """
    options = AgentOptions(
        partial(budget, limits.max_seconds, limits.max_memory),
        remove_on_exit,
        ClusterAccess(cluster.kubeconfig, cluster.context) if kubernetes else None,
        (listen.address, listen.port) if listen else None,
    )
    run_agent(Selection(world), NodeAccess(world.netns), options)
