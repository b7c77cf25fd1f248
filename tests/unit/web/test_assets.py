"""The page's files: small, complete, from here only, and what they are said to be."""

from __future__ import annotations

import gzip
import hashlib
import re

import pytest

from pipeline import limits
from pipeline.web.assets import POLICY, assets

UPLOT = {  # uPlot 1.6.32 from the npm registry, unchanged
    "/page/uPlot.iife.min.js": "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f",
    "/page/uPlot.min.css": "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
}
OWN = [path for path in assets() if "uPlot" not in path]


def test_everything_together_is_small() -> None:
    assert sum(len(asset.packed) for asset in assets().values()) <= limits.PAGE_TRANSFER_BYTES
    for asset in assets().values():
        assert gzip.decompress(asset.packed) == asset.content


@pytest.mark.parametrize(("path", "digest"), UPLOT.items())
def test_the_plotting_library_is_the_released_one(path: str, digest: str) -> None:
    assert hashlib.sha256(assets()[path].content).hexdigest() == digest
    assert "/page/uPlot.LICENSE" in assets()


@pytest.mark.parametrize("path", OWN)
def test_nothing_is_asked_of_anybody_else_and_nothing_is_inline(path: str) -> None:
    text = assets()[path].content.decode()
    urls = set(re.findall(r"https?://[^\s\"'`)$]+", text)) - {"http://www.w3.org/2000/svg"}
    assert urls == set()
    if path == "/":
        assert not re.search(r"<script(?![^>]* src=)|<style| style=| on\w+=", text)
    assert not re.search(r"innerHTML\s*\+?=[^=]", text)
    assert "insertAdjacentHTML" not in text


def test_every_file_that_the_page_names_is_there() -> None:
    named = set()
    for path in OWN:
        text = assets()[path].content.decode()
        named |= set(re.findall(r"\"(/page/[\w.]+)\"", text))
        named |= {f"/page/{name}" for name in re.findall(r"from \"\./([\w.]+)\"", text)}
    assert named <= set(assets())
    assert len(named) > 8


def test_the_policy_allows_scripts_and_streams_of_this_server_only() -> None:
    assert "default-src 'none'" in POLICY
    assert "unsafe" not in POLICY
    headers = dict(assets()["/"].headers(packed=True))
    assert headers[b"content-security-policy"] == POLICY.encode()
    assert headers[b"content-encoding"] == b"gzip"
