"""Queues, links and hot keys of a running pipeline, as `ringline status --links` shows them."""

from __future__ import annotations

from collections.abc import Sequence

import click

from pipeline.cli.output import print_table
from pipeline.config import Config
from pipeline.stages.link_report import LinkReport, read_link_reports
from pipeline.telemetry.events import NEXT_STAGE, split_worker
from pipeline.telemetry.link_files import links_folder


def links_of(config: Config) -> list[LinkReport]:
    """What the workers have told last."""
    return read_link_reports(links_folder(config))


def show_links(reports: Sequence[LinkReport]) -> None:
    if not reports:
        return
    queues = [
        (report.name, name, str(queue.depth), str(queue.most))
        for report in reports
        for name, queue in report.queues.items()
    ]
    click.echo()
    print_table(("worker", "queue", "depth", "most"), queues)
    links = [
        (
            report.name,
            f"{NEXT_STAGE.get(split_worker(report.name)[0], 'next')}-{link.ordinal}",
            "leaving" if link.leaving else "up" if link.up else "down",
            str(link.credit),
            str(link.in_flight),
            str(link.version or "–"),
        )
        for report in reports
        for link in report.links
    ]
    click.echo()
    print_table(("from", "to", "state", "credit", "in flight", "version"), links)
    counts = [
        (report.name, str(report.refused), str(report.resets), str(report.links_lost), str(report.strangers))
        for report in reports
    ]
    click.echo()
    print_table(("worker", "refused", "resets", "links lost", "strangers"), counts)
    for report in reports:
        if report.hot_keys:
            keys = ", ".join(f"{key} {count}" for key, count in report.hot_keys)
            click.echo(f"\nHot keys at {report.name}: {keys}")
