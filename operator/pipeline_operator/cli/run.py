"""`ringline-operator run`: the operator, as its container runs it."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys

import click


@click.command("run")
@click.option(
    "--namespaces",
    envvar="RINGLINE_OPERATOR_NAMESPACES",
    default="",
    help="Namespaces to watch, as a,b,c. Default: the one of the credentials.",
)
@click.option(
    "--name",
    envvar="RINGLINE_OPERATOR_NAME",
    default="",
    help="Decide only on Pipelines whose spec.operator is this or left out. Default: on all.",
)
@click.option(
    "--host",
    envvar="RINGLINE_OPERATOR_HOST",
    default="0.0.0.0",  # noqa: S104 - probes and Prometheus come from outside the pod
    show_default=True,
    help="Where /healthz, /readyz and /metrics listen.",
)
@click.option(
    "--port",
    envvar="RINGLINE_OPERATOR_PORT",
    default=8080,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="Their port; 0 takes a free one and logs it.",
)
@click.option(
    "--records",
    envvar="RINGLINE_OPERATOR_RECORDS",
    default="-",
    show_default=True,
    help="Where decision records go, as JSON lines: a file, - for standard output, or '' for nowhere.",
)
@click.option(
    "--log-level",
    envvar="RINGLINE_OPERATOR_LOG_LEVEL",
    default="info",
    show_default=True,
    type=click.Choice(["debug", "info", "warning", "error"]),
    help="Of the log on standard error.",
)
def command(namespaces: str, name: str, host: str, port: int, records: str, log_level: str) -> int:
    """Watch Pipelines, decide, and scale their StatefulSets, until SIGTERM.

    The API server is found by KUBECONFIG, by the pod's service account, or in ~/.kube/config, in this order.
    Each option can be given in the environment: RINGLINE_OPERATOR_NAMESPACES, _NAME, _HOST, _PORT, _RECORDS
    and _LOG_LEVEL. Any number of operators may watch a namespace: a Lease sees to it that one decides on a
    Pipeline.

    \b
    Example:
      ringline-operator run --namespaces trading --records decisions.jsonl
      curl localhost:8080/metrics
    """
    # Matrices are never multiplied here: threads for it would only cost memory. Before numpy is loaded.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # kopf imports whichever of these is installed, for logins that are not ours: 40 MiB.
    for client in ("kubernetes", "kubernetes_asyncio", "pykube"):
        sys.modules.setdefault(client, None)  # type: ignore[arg-type]  # None: not to be imported

    from pipeline_operator import limits
    from pipeline_operator.kube.access import find_access
    from pipeline_operator.runtime.service import Service
    from pipeline_operator.runtime.settings import run_settings

    sys.setswitchinterval(limits.SWITCH_INTERVAL_S)
    _log_to_stderr(log_level)
    access = find_access()
    settings = run_settings(
        namespaces, access.default_namespace, name=name, host=host, port=port, records=records
    )

    async def run() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await Service(settings, access).run(stop)

    asyncio.run(run())
    return 0


def _log_to_stderr(level: str) -> None:
    logging.basicConfig(
        stream=sys.stderr,
        level=level.upper(),
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    if level != "debug":
        logging.getLogger("kopf").setLevel(logging.WARNING)
        logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
