"""Load tests as people start them: a command line in a process of its own, a pipeline on free ports."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from real_pipeline import free_ports

ROOT = Path(__file__).parents[2]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'operator'}"}


def pipeline_words(folder: Path) -> list[str]:
    """`--set` for a pipeline that no other test meets."""
    stages = ("gateway", "agent", "exec", "audit", "telemetry", "feed")
    words = [f"{stage}.port={port}" for stage, port in zip(stages, free_ports(len(stages)), strict=True)]
    words += [f"telemetry.directory={folder / 'rings'}", "telemetry.ring_entries=4096"]
    return [word for text in words for word in ("--set", text)]


def start(*words: str, folder: Path, pipeline: list[str] | None = None) -> subprocess.Popen[bytes]:
    """`ringline loadtest …`, its output in `folder`/out and /err."""
    chosen = pipeline_words(folder) if pipeline is None else pipeline
    with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
        return subprocess.Popen(
            (sys.executable, "-m", "pipeline", "loadtest", *words, *chosen), cwd=folder, env=environment(),
            stdout=out, stderr=err,
        )  # fmt: skip


def run(*words: str, folder: Path, pipeline: list[str] | None = None, within_s: float = 100) -> int:
    """Its exit code."""
    child = start(*words, folder=folder, pipeline=pipeline)
    try:
        return child.wait(within_s)
    finally:
        child.kill()
        child.wait()


def report(folder: Path) -> dict[str, Any]:
    """The report of the only test in `folder`."""
    (file,) = (folder / "runs").glob("*/report.json")
    found: dict[str, Any] = json.loads(file.read_bytes())
    return found


def verdicts(folder: Path) -> dict[str, str]:
    return {found["name"]: found["verdict"] for found in report(folder)["verdicts"]}


def said(folder: Path) -> str:
    return (folder / "err").read_text()


def left_over(folder: Path) -> list[str]:
    """Command lines of processes that still know this test's folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                words = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            except OSError:
                continue
            if str(folder / "runs").encode() in words:
                found.append(words[:200].decode(errors="replace"))
    return found
