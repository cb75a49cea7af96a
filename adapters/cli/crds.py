"""``crds``: the custom resources that nodewall reads, for clusters without Antrea."""

import click


@click.command("crds")
def crds_command() -> None:
    """Print the CustomResourceDefinitions of policies, tiers and groups, for kubectl apply -f -."""
    import yaml  # noqa: PLC0415 - few commands need it

    from adapters.kubernetes.crds import crds  # noqa: PLC0415 - as above

    click.echo(yaml.safe_dump_all(crds(), sort_keys=False, allow_unicode=True), nl=False)
