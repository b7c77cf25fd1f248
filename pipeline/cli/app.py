"""The group of all commands, and the one place where errors become lines and exit codes."""

from __future__ import annotations

import difflib
import importlib
import os
import select
import sys
from collections.abc import Sequence
from pathlib import Path

import click

import pipeline
from pipeline.cli.failure import explain_failure
from pipeline.cli.session import Session

EXIT_INTERRUPTED = 130
"""128 + SIGINT, as shells have it."""
EXIT_CLOSED = 141
"""128 + SIGPIPE: whoever read the output has had enough."""

COMMANDS = {
    "run": "Replay real market history through the whole pipeline and report.",
    "up": "Run the whole pipeline until it is stopped.",
    "status": "Show what runs, where it listens and how it does.",
    "top": "Show workers, links, latencies, throttles, positions and events, live, until q or Ctrl-C.",
    "send": "Send one signed event.",
    "halt": "Refuse every entry of every strategy and symbol until a resume; exits pass.",
    "resume": "Allow entries again after a halt or a flatten.",
    "flatten": "Close every position of every strategy and symbol, and refuse entries until a resume.",
    "explain": "Tell the whole story of one event.",
    "feed": "Follow the settled rows live; replay what a session was sent; measure its latency.",
    "audit": "Verify, query, export, back up, reconcile and prune the audit.",
    "keys": "Make and rotate the keys of the links between workers.",
    "dlq": "List events that were given up, and send them again.",
    "config": "Check and show the configuration.",
    "backtest": "Run strategies over a file of candles, by the code that runs live.",
    "baseline": "Is it healthy, and is it slower than it was?",
    "bench": "Measure, beside the limits of this machine.",
    "loadtest": "Load the pipeline and judge it: smoke, load, stress, spike, soak.",
    "plan": "Plan workers, cores, memory and storage for a load, and try the plan in a simulation.",
    "stress": "Call a service many times and tell what it cost.",
    "latency": "Time single calls of a service.",
    "simulate": "Run the product's own code under simulated faults.",
    "telemetry": "Look at telemetry: which writer is in use, which rings there are, what a writer did last.",
    "worker": "Run one worker of a stage (what a container runs).",
    "collector": "Run the telemetry collector (what a container runs).",
}
"""Name → short help: kept here so that `--help` imports no command. A test holds both texts together."""


class LazyGroup(click.Group):
    """Imports the module of a command when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"pipeline.cli.{cmd_name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], COMMANDS, 1)
            hint = f"did you mean `{near[0]}`?" if near else f"here are {', '.join(COMMANDS)}"
            raise click.UsageError(f"no such command: {args[0]!r}; {hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Exit codes: 0 fine, 1 the answer is no, 2 wrong usage or configuration, 3 something is missing.",
)
@click.version_option(pipeline.__version__, prog_name="ringline", message="%(prog)s %(version)s")
def ringline() -> None:
    """A signal-to-fill trading pipeline that measures itself.

    \b
    Example:
      ringline run                  replay 12,154 real candles and report
      ringline up                   run until Ctrl-C; prints a line to send a first event with
      ringline COMMAND --help       what a command does, with an example
    """


def run(arguments: Sequence[str]) -> int:
    """Runs one command line; returns its exit code. Errors are on stderr by then, a line each."""
    session = Session()
    try:
        code = ringline.main(
            list(arguments),
            prog_name="ringline",
            standalone_mode=False,
            windows_expand_args=False,
            obj=session,
        )
        sys.stdout.flush()
    except (BrokenPipeError, SystemExit) as error:  # click turns the first into the second
        if not (_output_is_closed() or _rich_has_closed_it(error)):
            return explain_failure(error, session)
        _discard_output()
        return EXIT_CLOSED
    except (click.Abort, KeyboardInterrupt):
        click.echo("ringline: interrupted", err=True)
        return EXIT_INTERRUPTED
    except Exception as error:
        return explain_failure(error, session)
    return code if isinstance(code, int) else 0


def _output_is_closed() -> bool:
    poller = select.poll()
    poller.register(1, 0)
    return any(events & (select.POLLERR | select.POLLNVAL) for _, events in poller.poll(0))


def _rich_has_closed_it(error: BaseException) -> bool:
    """rich puts /dev/null in the place of an output that is closed, and leaves."""
    if not isinstance(error.__context__, BrokenPipeError):
        return False
    return os.path.samestat(os.fstat(1), Path(os.devnull).stat())


def _discard_output() -> None:
    """What is still buffered would fail again, loudly, when the interpreter flushes it."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)
