"""``manifests``: what an administrator applies to have an agent on every Node."""

import click


@click.command("manifests")
@click.option("--image", required=True, metavar="IMAGE", help="The image that has nodewall, with its version.")
@click.option("--namespace", default="kube-system", show_default=True, metavar="NAME", help="Where the agents run.")
def manifests_command(image: str, namespace: str) -> None:
    """Print the account, its rights and the DaemonSet of the agents, for kubectl apply -f -."""
    import yaml  # noqa: PLC0415 - few commands need it

    from adapters.kubernetes.install import manifests  # noqa: PLC0415 - as above

    click.echo(yaml.safe_dump_all(manifests(image, namespace), sort_keys=False, allow_unicode=True), nl=False)
