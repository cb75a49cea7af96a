"""``nodewall support-bundle``: collects diagnostic data of a Node in one archive.

Input: the event log of the agent, a Node, and optionally the TCP port of the agent. Output: a new ``.tar.gz`` file;
stderr lists the parts that could not be collected.

Raises ``Refused`` if the archive cannot be written.
"""

import click

from adapters import wiring
from adapters.cli.options import ListenAddress, listen_at
from adapters.cli.render.policy_status import statuses_as_json
from adapters.node.support_bundle import SupportBundle
from adapters.system.clock import SystemClock
from adapters.system.process import SystemRunner
from engine.errors import Fault, Refused


@click.command("support-bundle")
@click.option("--log", required=True, metavar="PATH", envvar="NODEWALL_LOG", help="The agent's event log.")
@click.option("--node", required=True, metavar="NAME", envvar="NODE_NAME", help="The node that this is.")
@click.option("--netns", default="", metavar="NAME", help="A named network namespace instead of this one.")
@click.option("--agent", metavar="PORT", callback=listen_at, help="Where the agent answers on loopback (--listen).")
@click.option("-o", "--output", "path", required=True, metavar="FILE", help="The archive, a new .tar.gz.")
def support_bundle_command(log: str, node: str, netns: str, agent: ListenAddress | None, path: str) -> None:
    """Put into an archive what is wanted, what is in the kernel, and the newest events; change nothing."""
    port = agent.port if agent else None
    bundle = SupportBundle(node, wiring.event_log(log), SystemRunner(netns), SystemClock(), statuses_as_json, port)
    try:
        missing = bundle.write(path)
    except OSError as error:
        raise Refused((Fault("--output", f"{path}: {error.strerror}", "a new file"),)) from None
    for each in missing:
        click.echo(f"not told: {each}", err=True)
    click.echo(path)
