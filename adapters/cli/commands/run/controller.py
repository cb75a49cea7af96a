"""``nodewall controller``: maintains the status of a cluster's policies from the reports of the agents.

Input: credentials for the API server, and a name for leader election. Several controllers can run; only the one that
holds the Lease object writes. Output: the status of ClusterNetworkPolicy objects, until SIGTERM or SIGINT.

Raises ``Refused`` if there are no credentials or the address of ``--listen`` is not free.
"""

import asyncio
import os
from random import SystemRandom

import click

from adapters import wiring
from adapters.cli.options import KubernetesOptions, ListenAddress, kubernetes_options, listen_option, namespace_option
from adapters.cli.run_until_signal import run_until_signal
from adapters.system.clock import SystemIds
from adapters.telemetry.health import always_healthy


@click.command("controller")
@kubernetes_options
@namespace_option
@click.option("--identity", envvar="POD_NAME", metavar="NAME", help="As whom to ask for the lease; nobody else's name.")
@listen_option
def controller_command(
    cluster: KubernetesOptions, namespace: str, identity: str | None, listen: ListenAddress | None
) -> None:
    """Keep the status of policies, as the one of many controllers that holds the lease, until SIGTERM or SIGINT."""
    dice, name = SystemRandom(), identity or f"{os.uname().nodename}-{SystemIds().new()}"
    api = wiring.api(cluster.kubeconfig, cluster.context)
    controller, lease = wiring.controller(api, dice), wiring.lease(api, namespace, name, dice)

    async def work() -> None:
        async with asyncio.TaskGroup() as tasks:
            if listen is not None:
                tasks.create_task(
                    wiring.telemetry_server(listen.address, listen.port, always_healthy, always_healthy).run()
                )
            tasks.create_task(lease.lead(controller.run))

    run_until_signal(work())
