"""Whatever fits or breaks the OpenAPI page: no request ends in a 5xx, and every answer is as described."""

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
