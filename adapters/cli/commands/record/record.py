"""``nodewall record``: records the changes of a cluster in an event log until SIGTERM or SIGINT.

Input: an event log, and a kubeconfig for the API server of the cluster. Output: events in the log; at the end, its last
sequence number on stderr. With ``--once``, the command ends as soon as the log matches the cluster.

Raises ``LogError`` if the log cannot be read, and ``Refused`` if there are no credentials for the cluster.
"""

import asyncio
from contextlib import suppress
from random import SystemRandom

import click

from adapters import wiring
from adapters.cli.commands.record.log import log_option
from adapters.cli.options import KubernetesOptions, kubernetes_options
from adapters.cli.run_until_signal import run_until_signal


@click.command("record")
@log_option
@kubernetes_options
@click.option("--once", is_flag=True, help="End as soon as the log is as the cluster is.")
def record_command(path: str, cluster: KubernetesOptions, once: bool) -> None:
    """Record what a cluster's API server tells, until SIGTERM or SIGINT comes."""
    dice = SystemRandom()
    log = wiring.event_log(path)
    recorder = wiring.recorder(log, wiring.api(cluster.kubeconfig, cluster.context), dice)

    async def record() -> None:
        ended = asyncio.ensure_future(recorder.run())
        first = asyncio.ensure_future(recorder.settled())
        await asyncio.wait((ended, first) if once else (ended,), return_when=asyncio.FIRST_COMPLETED)
        ended.cancel()
        with suppress(asyncio.CancelledError):
            await ended

    run_until_signal(record())
    click.echo(f"the log is at sequence {log.last_sequence() if log.exists else 0}", err=True)
