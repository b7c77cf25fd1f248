"""`ringline-operator bench`: what a decision costs."""

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
    """Measure a decision of the policy.

    CPU time of one tick of ten stages with twenty pods each, and of what comes before and after it. Exit
    code 1 when the target is missed.

    \b
    Example:
      ringline-operator bench --json
    """
    from pipeline_operator.bench.policy import run
    from pipeline_operator.bench.shape import encode_bench

    bench = run(rounds)
    if as_json:
        click.echo(encode_bench(bench))
        return EXIT_OK if bench.met else EXIT_NO
    for result in bench.results:
        target = (
            ""
            if result.target is None
            else f"  (target {result.target:g}: {'met' if result.met else 'MISSED'})"
        )
        click.echo(f"{result.name:45} {result.value:10,.4g} {result.unit}{target}")
    return EXIT_OK if bench.met else EXIT_NO
