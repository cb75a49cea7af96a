"""``record``: the changes of a cluster put on record as they happen."""

import asyncio
import signal
from contextlib import suppress
from random import SystemRandom

import click

from adapters import wiring
from adapters.cli.log import log_option
from adapters.cli.options import KubernetesOptions, kubernetes_options


@click.command("record")
@log_option
@kubernetes_options
@click.option("--once", is_flag=True, help="End as soon as the log is as the cluster is.")
def record_command(path: str, cluster: KubernetesOptions, once: bool) -> None:
    """Record what a cluster's API server tells, until SIGTERM or SIGINT comes."""
    recorder = wiring.recorder(path, cluster.kubeconfig, cluster.context, SystemRandom())

    async def record() -> None:
        task = asyncio.current_task()
        loop = asyncio.get_running_loop()
        for each in (signal.SIGTERM, signal.SIGINT):
            if task is not None:
                loop.add_signal_handler(each, task.cancel)
        ended = asyncio.ensure_future(recorder.run())
        first = asyncio.ensure_future(recorder.settled())
        await asyncio.wait((ended, first) if once else (ended,), return_when=asyncio.FIRST_COMPLETED)
        ended.cancel()
        with suppress(asyncio.CancelledError):
            await ended

    with suppress(asyncio.CancelledError):
        asyncio.run(record())
    log = wiring.event_log(path)
    click.echo(f"the log is at sequence {log.last_sequence() if log.exists else 0}", err=True)
