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
    "send": "Send one signed event.",
    "halt": "Refuse every entry of every strategy and symbol until a resume; exits pass.",
    "resume": "Allow entries again after a halt or a flatten.",
    "flatten": "Close every position of every strategy and symbol, and refuse entries until a resume.",
    "explain": "Tell the whole story of one event.",
    "audit": "Verify, query, export, back up and prune the audit.",
    "dlq": "List events that were given up, and send them again.",
