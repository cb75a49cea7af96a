"""``nodewall webhook``: serves the admission webhook for policies, tiers and groups until SIGTERM or SIGINT.

Input: credentials for the API server, and a TLS certificate with its key. Output: answers to the API server over HTTPS.
They refuse the objects that agents would refuse, so that ``kubectl apply`` shows the reason.

Raises ``Refused`` if the credentials, the certificate or the address cannot be used.
"""

import asyncio
from random import SystemRandom

import click

from adapters import wiring
from adapters.cli.options import KubernetesOptions, ListenAddress, kubernetes_options, listen_at, listen_option
from adapters.cli.run_until_signal import run_until_signal
from adapters.telemetry.health import always_healthy


@click.command("webhook")
@kubernetes_options
@click.option(
    "--serve",
    default="*:9443",
    show_default=True,
    metavar="[ADDRESS:]PORT",
    callback=listen_at,
    help="Where the API server asks, by HTTPS.",
)
@click.option("--tls-cert", required=True, metavar="FILE", help="The certificate, with its chain, in PEM.")
@click.option("--tls-key", required=True, metavar="FILE", help="Its key. Both are read again when they change.")
@listen_option
def webhook_command(
    cluster: KubernetesOptions, serve: ListenAddress, tls_cert: str, tls_key: str, listen: ListenAddress | None
) -> None:
    """Refuse at kubectl apply what agents would refuse, until SIGTERM or SIGINT comes."""
    api = wiring.api(cluster.kubeconfig, cluster.context)
    server = wiring.webhook(api, SystemRandom(), serve.address, serve.port, (tls_cert, tls_key))

    async def work() -> None:
        async with asyncio.TaskGroup() as tasks:
            if listen is not None:
                pages = wiring.telemetry_server(listen.address, listen.port, always_healthy, server.webhook.readiness)
                tasks.create_task(pages.run())
            tasks.create_task(server.run())

    run_until_signal(work())
