"""When the audit worker signs checkpoints, and when it does not: never what contradicts the last one."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable

from pipeline.clock import NS_PER_S
from pipeline.config import Config
from pipeline.errors import RinglineError
from pipeline.storage.audit.chain import Link
from pipeline.storage.audit.checkpoint_sender import open_sender
from pipeline.storage.audit.checkpoints import (
    CheckpointWriter,
    checkpoint_folder,
    contradiction,
    load_signing_key,
)
from pipeline.storage.audit.engines import open_reader

log = logging.getLogger(__name__)

LOOK_AGAIN_NS = 10 * NS_PER_S
"""A contradiction may have been set aside since (`audit reconcile`)."""


class Checkpointing:
    """Belongs to the audit worker's thread. One worker signs, as an audit's workers share its chain."""

    def __init__(self, ordinal: int, config: Config, chain: Callable[[], Link]) -> None:
        """Raises MissingError when key or token cannot be had."""
        self._config = config
        self._chain = chain
        self._writer: CheckpointWriter | None = None
        self._wanted = not ordinal and bool(config.audit.checkpoint_every_s)
        self._sender = open_sender(config.audit) if self._wanted else None
        self._key = load_signing_key(config) if self._wanted else None
        self._said = ""
        self._look_ns = 0

    @property
    def failed(self) -> int:
        """Attempts to send a checkpoint that failed since the start."""
        return self._sender.failed if self._sender is not None else 0

    def tick(self, now_ns: int) -> None:
        """Call it often; `now_ns` is monotonic."""
        if self._writer is None and self._wanted and now_ns >= self._look_ns:
            self._look_ns = now_ns + LOOK_AGAIN_NS
            self._writer = self._open()
        if self._writer is not None:
            self._writer.tick(now_ns)

    def close(self) -> None:
        """One last, and what was given to the sender is tried once more."""
        if self._writer is None and self._wanted:
            self._writer = self._open()
        if self._writer is not None:
            self._writer.write()
        if self._sender is not None:
            self._sender.close()

    def _open(self) -> CheckpointWriter | None:
        assert self._key is not None
        folder = checkpoint_folder(self._config)
        try:
            with contextlib.closing(open_reader(self._config)) as reader:
                fault = contradiction(reader, self._key.verify_key, folder)
        except RinglineError as error:
            fault = str(error)
        if fault:
            if fault != self._said:
                log.error(
                    "audit: %s; nothing is signed until %s is moved away: see `audit verify` and `audit "
                    "reconcile`", fault, folder,
                )  # fmt: skip
            self._said = fault
            return None
        give = self._sender.give if self._sender is not None else None
        return CheckpointWriter(self._config, self._key, self._chain, give)
