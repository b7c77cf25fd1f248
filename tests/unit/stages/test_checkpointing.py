"""What the audit worker signs, and that it signs nothing over what contradicts its last word."""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path

import pytest
from some_rows import some_rows

from pipeline.clock import NS_PER_S
from pipeline.config import Config, load
from pipeline.stages.checkpointing import LOOK_AGAIN_NS, Checkpointing
from pipeline.storage.audit import SqliteAuditStore
from pipeline.storage.audit.checkpoints import checkpoint_folder
from pipeline.storage.audit.engines import sqlite_file


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return load(assignments=[f"data_dir={tmp_path}/data", "audit.checkpoint_every_s=60"])


def notes(config: Config) -> set[str]:
    folder = checkpoint_folder(config)
    return {file.name for file in folder.iterdir()} if folder.exists() else set()


def test_nothing_is_signed_over_a_contradiction_until_it_is_moved_away(
    config: Config, caplog: pytest.LogCaptureFixture
) -> None:
    file = sqlite_file(config)
    file.parent.mkdir(parents=True)
    with contextlib.closing(SqliteAuditStore.open(file)) as store:
        store.append(some_rows()[:20])
        checkpointing = Checkpointing(0, config, lambda: store.chain)
        checkpointing.tick(0)
        checkpointing.close()
    first = notes(config)
    assert first
    file.unlink()
    with contextlib.closing(SqliteAuditStore.open(file)) as store:  # a backup of an earlier moment
        store.append(some_rows()[:10])
        checkpointing = Checkpointing(0, config, lambda: store.chain)
        with caplog.at_level(logging.ERROR):
            for second in range(0, 300, 5):
                checkpointing.tick(second * NS_PER_S)
            checkpointing.close()
        assert [
            record.getMessage() for record in caplog.records if "nothing is signed" in record.getMessage()
        ]
        assert notes(config) == first
        checkpoint_folder(config).rename(file.parent / "aside")
        checkpointing = Checkpointing(0, config, lambda: store.chain)
        checkpointing.tick(LOOK_AGAIN_NS)
        checkpointing.close()
    assert notes(config)
