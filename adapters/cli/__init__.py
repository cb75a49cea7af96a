"""Command line of nodewall: runs ``nodewall COMMAND`` and returns its exit code.

Input: the arguments. Output: the command's own output, and one ``error:`` line on stderr per fault. Exit codes: 0
success, 1 a difference or an error of the kernel, 2 any other error, 3 a plan that is not proved safe, 130 interrupted.

The module of a command is imported only when the command runs, so that start-up is fast.
"""

import importlib
import sys
from collections.abc import Sequence

import click

from adapters.system.gc_tuning import collect_rarely
from engine.errors import KernelError, NodewallError, ToolMissing, UnsafePlan

_COMMANDS = {
    "compile": "adapters.cli.commands.ask.compile",
    "simulate": "adapters.cli.commands.ask.simulate",
    "search": "adapters.cli.commands.ask.search",
    "diff": "adapters.cli.commands.ask.diff",
    "prove": "adapters.cli.commands.prove.prove",
    "lint": "adapters.cli.commands.prove.lint",
    "explain": "adapters.cli.commands.ask.explain",
    "status": "adapters.cli.commands.ask.status",
    "stats": "adapters.cli.commands.ask.stats",
    "what-if": "adapters.cli.commands.ask.what_if",
    "plan": "adapters.cli.commands.apply.plan",
    "apply": "adapters.cli.commands.apply.apply",
    "confirm": "adapters.cli.commands.apply.confirm",
    "rollback": "adapters.cli.commands.apply.confirm",
    "remove": "adapters.cli.commands.apply.apply",
    "agent": "adapters.cli.commands.run.agent",
    "controller": "adapters.cli.commands.run.controller",
    "webhook": "adapters.cli.commands.run.webhook",
    "config": "adapters.cli.commands.install.config",
    "log": "adapters.cli.commands.record.log",
    "record": "adapters.cli.commands.record.record",
    "replay": "adapters.cli.commands.ask.replay",
    "blame": "adapters.cli.commands.ask.blame",
    "history": "adapters.cli.commands.ask.history",
    "support-bundle": "adapters.cli.commands.run.support_bundle",
    "crds": "adapters.cli.commands.install.crds",
    "manifests": "adapters.cli.commands.install.manifests",
    "scenario": "adapters.cli.commands.prove.scenario",
    "demo": "adapters.cli.commands.install.demo",
}
"""Command name -> module with its function ``NAME_command``."""

_EXIT_CODES: tuple[tuple[type[NodewallError], int], ...] = (
    (UnsafePlan, 3),
    (ToolMissing, 2),
    (KernelError, 1),
    (NodewallError, 2),
)
"""Exit code of each error class; the first class that fits decides."""


class _LazyGroup(click.Group):
    """Click group that imports the module of a command only when it is called or listed."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - as above
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(_COMMANDS[cmd_name])
        command: click.Command = getattr(module, f"{cmd_name.replace('-', '_')}_command")
        return command


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="nodewall", message="%(prog)s %(version)s")
@click.option("-v", "--verbose", count=True, help="Log what is done on stderr; twice for every program that is run.")
def cli(verbose: int) -> None:
    """Put Antrea ClusterNetworkPolicies for Nodes into force, after asking what would happen."""
    from adapters.system.logging_setup import configure  # noqa: PLC0415 - structlog is not needed for --version

    configure(verbose)
    collect_rarely()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line, and return its exit code; each fault is one line on stderr.

    Args:
        arguments: the words after ``nodewall``; None takes those of this process.
    """
    try:
        code = cli.main(None if arguments is None else list(arguments), prog_name="nodewall", standalone_mode=False)
    except click.exceptions.Abort:
        return _complain(["interrupted"], 130)
    except click.ClickException as error:
        return _complain([error.format_message()], 2)
    except NodewallError as error:
        return _complain(error.lines, next(code for kind, code in _EXIT_CODES if isinstance(error, kind)))
    except BrokenPipeError:
        # The reader closed the pipe. Without a stdout, the interpreter does not flush it at exit and fail again.
        sys.stdout = None
        return 0
    return code if isinstance(code, int) else 0


def _complain(lines: Sequence[str], code: int) -> int:
    """Write one ``error:`` line per fault to stderr, and return the exit code."""
    for line in lines:
        click.echo(f"{click.style('error:', fg='red')} {line}", err=True)
    return code
