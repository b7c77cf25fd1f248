"""`ringline loadtest`: the load tests, which live in a package of their own and need an extra."""

from __future__ import annotations

import importlib.util
import os
import secrets
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import msgspec

from pipeline.cli.cluster_job import run_job
from pipeline.cli.session import json_option, with_config
from pipeline.cli.up import own_words
from pipeline.config import Config
from pipeline.config.sources import sender_of
from pipeline.connection import local_address
from pipeline.errors import MissingError, UsageError
from pipeline.stages.gateway.secrets import generated_file

SHAPES = {
    "smoke": "10 users, 5 minutes: does it work at all?",
    "load": "100 users, 30 minutes: does it carry the expected day?",
    "stress": "50 to 500 users in steps, 15 minutes: where does it break?",
    "spike": "10 to 200 users at once, 10 minutes: does it recover?",
    "soak": "50 users, 2 hours: does anything leak?",
}
NEEDED = ("locust", "loadtests")
MAX_GENERATORS = 16


@click.group("loadtest")
def command() -> None:
    """Load the pipeline and judge it: smoke, load, stress, spike, soak.

    Latency counts from when a request was meant to be sent; afterwards the audit is compared with what was
    sent. Exit code 1 when a gate is violated or the test was stopped, 3 when something needed is missing or
    went away. Needs `pip install 'ringline[loadtests]'`.

    \b
    Example:
      ringline loadtest smoke --start
      ringline loadtest soak --start
      ringline loadtest stress --start --rate 3000 --time-scale 0.1
      ringline loadtest load --url http://127.0.0.1:8001
      ringline loadtest compare runs/before runs/after
    """


_OPTIONS = (
    click.option("--url", metavar="URL", help="The gateway, if not the configured one."),
    click.option("--collector", metavar="URL", help="The collector that goes with --url."),
    click.option("--audit", metavar="URL", help="The audit's HTTP that goes with --url."),
    click.option("--token-file", type=click.Path(path_type=Path), help="A token that may read there."),
    click.option(
        "--start", is_flag=True, help="Start a pipeline with a data folder of its own, and stop it."
    ),
    click.option(
        "--keep-data",
        is_flag=True,
        help="With --start: keep journal and audit also of a test that met every gate.",
    ),
    click.option("--autoscale", is_flag=True, help="With --start: `ringline up --autoscale`."),
    click.option(
        "--replicas",
        "bounds",
        multiple=True,
        metavar="STAGE=LEAST..MOST",
        help="With --autoscale: bounds of agent or exec. Repeatable.",
    ),
    click.option(
        "--policy",
        type=click.Path(path_type=Path, dir_okay=False),
        help="With --autoscale: a Pipeline as the operator takes it.",
    ),
    click.option(
        "--cluster",
        is_flag=True,
        help="Test the release in the current Kubernetes context, by a Job beside it.",
    ),
    click.option(
        "--time-scale",
        type=click.FloatRange(0, 1, min_open=True),
        default=1.0,
        show_default=True,
        help="Shorten the test; rates and users stay. The report says so.",
    ),
    click.option(
        "--rate",
        type=click.FloatRange(1, 100_000),
        help="The open variant: so many events per second at the peak, whether or not they are answered.",
    ),
    click.option(
        "--gates", type=click.Path(path_type=Path, dir_okay=False), help="TOML file with other limits."
    ),
    click.option(
        "--generators",
        type=click.IntRange(1, MAX_GENERATORS),
        default=1,
        show_default=True,
        help="Locust workers, beside a master when there are more than one.",
    ),
    click.option("--source", metavar="NAME", help="Who sends, of `sources`; else the first that may."),
    click.option("--markdown", is_flag=True, help="Print the report as Markdown, and what each gate says."),
    click.option("--secret-file", type=click.Path(path_type=Path), help="The source's secret, if not here."),
    click.option(
        "--output",
        type=click.Path(path_type=Path, file_okay=False),
        default=Path("runs"),
        show_default=True,
        help="Where the folder of this test is made.",
    ),
)


class _Asked(msgspec.Struct, frozen=True, kw_only=True):
    """The options of one test, by their names."""

    url: str | None
    collector: str | None
    audit: str | None
    token_file: Path | None
    start: bool
    keep_data: bool
    autoscale: bool
    bounds: tuple[str, ...]
    policy: Path | None
    cluster: bool
    time_scale: float
    rate: float | None
    gates: Path | None
    generators: int
    source: str | None
    secret_file: Path | None
    output: Path
    markdown: bool


def _shape_command(name: str, about: str) -> click.Command:
    @with_config
    def run(config: Config, as_json: bool, **chosen: Any) -> int:
        return _run(name, config, _Asked(**chosen), as_json=as_json)

    function: Callable[..., Any] = json_option(run)
    for option in reversed(_OPTIONS):
        function = option(function)
    help_text = (
        f"{about}\n\nWrites report.json, .md, .html and junit.xml. Exit code 1 when a gate is violated, 3 "
        f"when something needed is missing or went away.\n\n\b\nExample:\n"
        f"  ringline loadtest {name} --start\n  ringline loadtest {name} --start --time-scale 0.1"
    )
    return click.command(name, help=help_text, short_help=about)(function)


for _name, _about in SHAPES.items():
    command.add_command(_shape_command(_name, _about))


@command.command("compare")
@click.argument("a", type=click.Path(path_type=Path))
@click.argument("b", type=click.Path(path_type=Path))
@click.option(
    "--margin-percent",
    type=click.FloatRange(0, 1000),
    default=20.0,
    show_default=True,
    help="Worse by more fails.",
)
@json_option
def compare(a: Path, b: Path, margin_percent: float, as_json: bool) -> int:
    """Compare report B with A: files, or folders of tests.

    Exit code 1 when B is worse by more than the margin, or violates a gate that A met.

    \b
    Example:
      ringline loadtest compare runs/before runs/after
    """
    words = ["compare", str(a), str(b), "--margin-percent", str(margin_percent)]
    return _become([*words, *(["--json"] if as_json else [])])


def _run(name: str, config: Config, asked: _Asked, *, as_json: bool) -> int:
    _check_installed()
    _check(asked, as_json=as_json)
    sender = asked.source or sender_of(config.sources, "candle", "signal") or next(iter(config.sources))
    if not asked.cluster and sender not in config.sources and asked.secret_file is None:
        raise UsageError(f"--source {sender!r}: unknown; here are {', '.join(config.sources)}")
    run = secrets.token_hex(4)
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    folder = (asked.output / f"loadtest-{name}-{stamp}-{run}").resolve()
    folder.mkdir(parents=True)
    if asked.cluster:
        return run_job(_cluster_words(name, asked), run, folder, click.echo)
    task = {"shape": name, "run": run, **_task(config, asked, sender, folder)}
    (folder / "task.json").write_bytes(msgspec.json.encode(task))
    shown = ["--json"] if as_json else ["--markdown"] if asked.markdown else []
    return _become(["run", str(folder / "task.json"), *shown])


def _check(asked: _Asked, *, as_json: bool) -> None:
    """Options that exclude or need each other."""
    if as_json and asked.markdown:
        raise UsageError("--json and --markdown: one of them")
    if sum((asked.url is not None, asked.start, asked.cluster)) > 1:
        raise UsageError("--url, --start and --cluster: one of them, or none for the configured pipeline")
    if asked.autoscale and not asked.start:
        raise UsageError("--autoscale goes with --start: a pipeline that runs already scales itself or not")
    if (asked.bounds or asked.policy is not None) and not asked.autoscale:
        raise UsageError("--replicas and --policy go with --autoscale")
    if asked.keep_data and not asked.start:
        raise UsageError("--keep-data goes with --start: nothing of another pipeline is removed anyway")
    if asked.url is None and (asked.collector is not None or asked.audit is not None):
        raise UsageError("--collector and --audit go with --url")
    if asked.cluster and (asked.gates is not None or asked.secret_file is not None):
        raise UsageError("--gates and --secret-file are files of this machine: not with --cluster")


def _task(config: Config, asked: _Asked, sender: str, folder: Path) -> dict[str, Any]:
    """What the load tests' own process is to do, the configuration beside it as a file."""
    data_dir = folder / "data" if asked.start else Path(config.data_dir).resolve()
    config = msgspec.structs.replace(config, data_dir=str(data_dir))
    config_file = folder / "config.json"
    config_file.write_bytes(msgspec.json.encode(config))
    return {
        "folder": str(folder),
        "source": sender,
        "ringline": own_words(sys.argv[0]),
        "config_file": str(config_file),
        "data_dir": str(data_dir) if asked.start or asked.url is None else "",
        "start": asked.start,
        "keep_data": asked.keep_data,
        "up_words": _up_words(asked),
        "generators": asked.generators,
        "time_scale": asked.time_scale,
        "rate": asked.rate,
        "gates_file": str(asked.gates.resolve()) if asked.gates is not None else "",
        **_where(config, asked.url, asked.collector, asked.audit),
        **_token(config, asked.token_file, foreign=asked.url is not None),
        **_secret(config, sender, data_dir, asked.secret_file),
    }


def _cluster_words(name: str, asked: _Asked) -> list[str]:
    """What the Job's `ringline loadtest` is told."""
    words = [name, f"--time-scale={asked.time_scale:g}", f"--generators={asked.generators}"]
    words += [] if asked.rate is None else [f"--rate={asked.rate:g}"]
    return words if asked.source is None else [*words, f"--source={asked.source}"]


def _up_words(asked: _Asked) -> list[str]:
    """What `ringline up` is told besides its configuration."""
    if not asked.autoscale:
        return []
    words = ["--autoscale", *(word for text in asked.bounds for word in ("--replicas", text))]
    return words if asked.policy is None else [*words, "--policy", str(asked.policy.resolve())]


def _where(config: Config, url: str | None, collector: str | None, audit: str | None) -> dict[str, str]:
    if url is not None:
        given = {"gateway_url": url, "collector_url": collector or "", "audit_url": audit or ""}
        return {name: value.rstrip("/") for name, value in given.items()}
    scheme = "https" if config.gateway.tls_cert_file else "http"
    return {
        "gateway_url": f"{scheme}://{local_address(config.gateway.host)}:{config.gateway.port}",
        "collector_url": f"http://{local_address(config.telemetry.host)}:{config.telemetry.port}",
        "audit_url": f"http://{local_address(config.feed.host)}:{config.feed.port}"
        if config.feed.enabled
        else "",
    }


def _token(config: Config, token_file: Path | None, *, foreign: bool) -> dict[str, str]:
    """Where the token is that may read: what was said, else what is configured."""
    if token_file is not None:
        return {"token_file": str(token_file.resolve())}
    files = config.feed.read_token_files or config.feed.control_token_files
    names = config.feed.read_token_env or config.feed.control_token_env
    if foreign or not (files or names):
        return {}
    return {"token_file": str(Path(files[0]).resolve())} if files else {"token_env": names[0]}


def _secret(config: Config, name: str, data_dir: Path, secret_file: Path | None) -> dict[str, str]:
    """Where the secret is: what was said, what is configured, or what the gateway makes when it starts."""
    if secret_file is not None:
        return {"secret_file": str(secret_file.resolve())}
    source = config.sources[name]
    if source.profile != "standard":
        raise UsageError(f"--source {name}: profile {source.profile}; load tests sign by Standard Webhooks")
    if source.secret_files:
        return {"secret_file": str(Path(source.secret_files[0]).resolve())}
    if source.secret_env:
        return {"secret_env": source.secret_env[0]}
    return {"secret_file": str(generated_file(data_dir, name))}


def _check_installed() -> None:
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingError(
            f"loadtest: {' and '.join(missing)} cannot be imported: pip install 'ringline[loadtests]'"
        )


def _become(words: list[str]) -> int:
    """Replaces this process: so signals and exit codes are the test's own, and nothing is left between.

    A folder `loadtests` in the current directory is none of ours: -P keeps it out.
    """
    _check_installed()
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, "-P", "-m", "loadtests", *words])  # noqa: S606 - no shell wanted
