"""``nodewall config``: shows the effective configuration with the origin of each value, and checks configuration files.

Input: ``nodewall.yaml`` files, environment variables, and optionally the configuration in an event log. Output: YAML
with comments, or JSON.

Raises ``Refused`` with all faults of all files.
"""

import os

import click
import yaml

from adapters.application.selection import SelectionOptions, state_of
from adapters.cli.options import config_option, log_world_option
from adapters.cli.render.output import emit, output_option
from adapters.inputs.configfile import LoadedConfiguration, keys, load
from engine.errors import Fault, Refused
from engine.objects.config import DEFAULT_CONFIGURATION, PrivilegedRule


@click.group("config")
def config_command() -> None:
    """Show and check nodewall.yaml."""


@config_command.command("show")
@config_option
@log_world_option
@output_option
def show_command(config: str | None, log: str | None, output: str) -> None:
    """Print the effective configuration: what it is, and where each value comes from."""
    known = state_of(SelectionOptions(log=log)).config if log else DEFAULT_CONFIGURATION
    loaded = load(config, os.environ, known)
    emit(output, _as_json(loaded), lambda: _as_text(loaded))


@config_command.command("check")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
def check_command(files: tuple[str, ...]) -> None:
    """Check configuration files; every fault of all of them is shown, and the exit code is 2."""
    faults: list[Fault] = []
    for path in files:
        try:
            load(path, {})
        except Refused as error:
            faults += error.faults
    if faults:
        raise Refused(tuple(faults))
    for path in files:
        click.echo(f"{path}: sound")


def _plain(loaded: LoadedConfiguration) -> dict[str, object]:
    """Return the configuration as a JSON value, with the privileged rules that result from mode and list."""
    plain: dict[str, object] = loaded.config.model_dump(mode="json", by_alias=True)
    plain["privilegedRules"] = {
        "mode": loaded.config.privileged_rules.mode,
        "rules": [_rule(rule) for rule in loaded.config.privileged_rules.rules],
        "effective": [_rule(rule) for rule in loaded.config.effective_rules()],
    }
    return plain


def _rule(rule: PrivilegedRule) -> dict[str, object]:
    plain: dict[str, object] = rule.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return plain


def _as_json(loaded: LoadedConfiguration) -> dict[str, object]:
    return {"config": _plain(loaded), "origins": dict(loaded.origins)}


def _as_text(loaded: LoadedConfiguration) -> str:
    """Return YAML with the origin of each value as a comment, then the effective privileged rules."""
    plain = _plain(loaded)
    lines: list[str] = []
    above: tuple[str, ...] = ()
    for key in keys():
        for depth, part in enumerate(key.path[:-1]):
            if above[: depth + 1] != key.path[: depth + 1]:
                lines.append(f"{'  ' * depth}{part}:")
        above = key.path[:-1]
        value: object = plain
        for part in key.path:
            value = value[part] if isinstance(value, dict) else None
        text = yaml.safe_dump(value, default_flow_style=True, width=10**6, sort_keys=False).removesuffix("...\n")
        lines.append(f"{'  ' * len(above)}{key.path[-1]}: {text.strip()}  # {loaded.origins['.'.join(key.path)]}")
    lines.append("# in force ahead of every policy, after loopback and established traffic:")
    for rule in loaded.config.effective_rules():
        text = yaml.safe_dump(_rule(rule), default_flow_style=True, width=10**6, sort_keys=False)
        lines.append(f"#   - {text.strip()}")
    return "\n".join(lines)
