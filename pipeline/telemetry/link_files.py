"""Where workers tell of their links, and all that they tell as one JSON document."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import msgspec

from pipeline import limits
from pipeline.config import Config

FOLDER = Path("run") / "links"
"""In `data_dir`, where no other place is configured."""
_encode = msgspec.json.Encoder().encode


def links_folder(config: Config) -> Path:
    return Path(config.telemetry.links_directory or Path(config.data_dir) / FOLDER)


def packed_links(folder: Path) -> bytes:
    """`{"reports": [...]}`: the files as they are, by name; without those that are no JSON or too large."""
    found: list[msgspec.Raw] = []
    with suppress(OSError), os.scandir(folder) as files:
        named = sorted((file for file in files if file.name.endswith(".json")), key=lambda file: file.name)
        for file in named[: limits.MAX_LINK_REPORTS]:
            with suppress(OSError, msgspec.DecodeError, UnicodeDecodeError):
                if file.stat().st_size <= limits.MAX_LINK_REPORT_BYTES:
                    found.append(msgspec.json.decode(Path(file.path).read_bytes(), type=msgspec.Raw))
    return _encode({"reports": found})
