"""``nodewall crds``: prints the CustomResourceDefinitions of Antrea that nodewall reads, and its own, as YAML."""

import click


@click.command("crds")
@click.option("--own", is_flag=True, help="Only NodeFirewall, as where Antrea has defined the others.")
def crds_command(own: bool) -> None:
    """Print the CustomResourceDefinitions of policies, tiers, groups and NodeFirewall, for kubectl apply -f -."""
    import yaml  # noqa: PLC0415 - few commands need it

    from adapters.kubernetes.install.crds import crds  # noqa: PLC0415 - as above

    click.echo(yaml.safe_dump_all(crds(own=own), sort_keys=False, allow_unicode=True), nl=False)
