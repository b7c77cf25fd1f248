#!/usr/bin/env python3
"""The same as `ringline baseline`, for those who know it by this name."""

from __future__ import annotations

import sys
from pathlib import Path

# So that a checkout works without being installed.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pipeline.cli.app import run

if __name__ == "__main__":
    sys.exit(run(["baseline", *sys.argv[1:]]))
