"""The group of all commands of the operator, and the one place where errors become lines and exit codes."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

import click

import pipeline
from pipeline.errors import EXIT_NO, RinglineError

EXIT_INTERRUPTED = 130
"""128 + SIGINT, as shells have it."""

COMMANDS: dict[str, str] = {
    "run": "Watch Pipelines, decide, and scale their StatefulSets, until SIGTERM.",
    "crd": "Print the CustomResourceDefinition of a Pipeline as YAML.",
    "replay": "Decide recorded decisions again, also under other settings.",
    "simulate": "Compare the policy with HPA, KEDA and Knative on traces of load.",
    "bench": "Measure a decision of the policy, and a breach to its patch.",
}
"""Name → short help: kept here so that `--help` imports no command. A test holds both texts together."""


class LazyGroup(click.Group):
    """Imports the module of a command when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"pipeline_operator.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Exit codes: 0 fine, 1 the answer is no, 2 wrong usage or configuration, 3 something is missing.",
)
@click.version_option(pipeline.__version__, prog_name="ringline-operator", message="%(prog)s %(version)s")
def group() -> None:
    """Keeps the stages of a pipeline within their SLAs by the number of their replicas.

    \b
    Example:
      ringline-operator simulate            the policy beside its rivals, on the shipped traces
      ringline-operator COMMAND --help      what a command does, with an example
    """


def run(arguments: Sequence[str]) -> int:
    """Runs one command line; returns its exit code. Errors are on stderr by then, a line each."""
    try:
        code = group.main(list(arguments), prog_name="ringline-operator", standalone_mode=False)
        sys.stdout.flush()
    except (click.Abort, KeyboardInterrupt):
        _say("interrupted")
        return EXIT_INTERRUPTED
    except RinglineError as error:
        _say(str(error))
        return error.exit_code
    except click.ClickException as error:
        _say(error.format_message())
        return error.exit_code
    except BrokenPipeError:
        sys.stderr.close()  # whoever read the output has had enough; nothing is to be said about it
        return EXIT_NO
    return code if isinstance(code, int) else 0


def _say(text: str) -> None:
    for line in text.splitlines() or [""]:
        click.echo(f"ringline-operator: {line}", err=True)
