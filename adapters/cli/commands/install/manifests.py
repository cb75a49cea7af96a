"""``nodewall manifests``: prints the Kubernetes manifests that install nodewall.

Input: an image, a namespace, and optionally the CA certificate of the admission webhook. Output: YAML for ``kubectl
apply -f -``.

Raises ``Refused`` for a file that is not a PEM certificate.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import click

from adapters.cli.options import namespace_option
from engine.bounded_json import parse_json
from engine.errors import Fault, Refused

_LONGEST = 1 << 20
"""Bytes that are read of a certificate file, which may be a bundle."""


@click.command("manifests")
@click.option("--image", required=True, metavar="IMAGE", help="The image that has nodewall, with its version.")
@namespace_option
@click.option(
    "--webhook-ca",
    metavar="FILE",
    help="Have webhooks too, which the API server knows by this certificate (PEM); theirs is in the Secret "
    "nodewall-webhook-tls.",
)
def manifests_command(image: str, namespace: str, webhook_ca: str | None) -> None:
    """Print accounts, rights, agents and controllers, for kubectl apply -f -."""
    import yaml  # noqa: PLC0415 - few commands need it

    from adapters.kubernetes.install.install_manifests import Installation  # noqa: PLC0415 - as above

    documents = Installation(image, namespace, _certificate(webhook_ca) if webhook_ca else None).documents()
    click.echo(yaml.safe_dump_all(_unshared(documents), sort_keys=False, allow_unicode=True), nl=False)


def _certificate(path: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            text = file.read(_LONGEST)
    except OSError as error:
        raise Refused((Fault("--webhook-ca", f"{path}: {error.strerror}", "a certificate"),)) from None
    if b"-----BEGIN CERTIFICATE-----" not in text:
        raise Refused((Fault("--webhook-ca", f"{path}: no certificate", "one in PEM"),))
    return text


def _unshared(documents: Iterable[Mapping[str, object]]) -> Iterator[object]:
    """Yield copies of the documents without shared parts, which YAML would write as anchors."""
    return (parse_json(json.dumps(document)) for document in documents)
