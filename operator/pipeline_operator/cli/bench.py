"""`ringline-operator bench`: what a decision costs, and how soon it is patched."""

from __future__ import annotations

import click

from pipeline.errors import EXIT_NO, EXIT_OK


@click.command("bench")
@click.option(
    "--rounds",
    type=click.IntRange(1, 1000),
    default=25,
    show_default=True,
    help="Of every figure; more are steadier.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def command(rounds: int, as_json: bool) -> int:
    """Measure a decision of the policy, and a breach to its patch.

    CPU time of one tick of ten stages with twenty pods each, and of what comes before and after it. With
    KUBECONFIG set, also the operator on that API server, with stand-ins for pods and collectors, in a
    namespace that is made and deleted (about two minutes); otherwise these rows say that they were skipped.
    Exit code 1 when a target is missed.

    \b
    Example:
      ringline-operator bench --json
    """
    from msgspec import structs

    from pipeline.figures import encode_bench
    from pipeline_operator.bench import reaction
    from pipeline_operator.bench.policy import run

    bench = run(rounds)
    bench = structs.replace(bench, results=bench.results + reaction.run())
    if as_json:
        click.echo(encode_bench(bench), nl=False)
        return EXIT_OK if bench.met else EXIT_NO
    for result in bench.results:
        target = (
            ""
            if result.target is None
            else f"  (target {result.target:g}: {'met' if result.met else 'MISSED'})"
        )
        value = "–" if result.value is None else f"{result.value:,.4g}"
        why = f"  ({result.against})" if result.value is None else ""
        click.echo(f"{result.name:45} {value:>10} {result.unit}{target}{why}")
    return EXIT_OK if bench.met else EXIT_NO
