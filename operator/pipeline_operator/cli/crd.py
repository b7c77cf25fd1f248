"""`ringline-operator crd`: the CustomResourceDefinition."""

from __future__ import annotations

import click


@click.command("crd")
def command() -> None:
    """Print the CustomResourceDefinition of a Pipeline as YAML.

    \b
    Example:
      ringline-operator crd | kubectl apply --server-side -f -
    """
    from pipeline_operator.crd.definition import as_yaml

    click.echo(as_yaml(), nl=False)
