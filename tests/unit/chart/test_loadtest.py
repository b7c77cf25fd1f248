"""The load test's Job: it reads the audit, says what it found, and keeps its files where they are wanted."""

from __future__ import annotations

from typing import Any

import pytest
from rendered_chart import WHY_NOT, Objects, rendered

from pipeline.cli.loadtest import SHAPES, command
from pipeline.config import resolve

pytestmark = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)

ON = {"loadtest.enabled": True}
NAME = "rl-ringline-loadtest"


def _pod(objects: Objects) -> dict[str, Any]:
    (job,) = [one for name, one in objects.of("Job").items() if name.startswith(NAME)]
    found: dict[str, Any] = job["spec"]["template"]["spec"]
    return found


def _options(objects: Objects) -> dict[str, str]:
    (container,) = _pod(objects)["containers"]
    return dict(word.partition("=")[::2] for word in container["args"] if word.startswith("--"))


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_s_command_knows_every_option(shape: str) -> None:
    options = _options(rendered(ON | {"loadtest.shape": shape, "loadtest.persistence.enabled": True}))
    known = {word for one in command.commands[shape].params for word in one.opts}
    assert options.keys() <= known


def test_it_reads_the_audit_with_the_token_that_may_and_no_other() -> None:
    objects = rendered(ON)
    options, pod = _options(objects), _pod(objects)
    assert options["--audit"] == "http://rl-ringline-feed:8006"
    assert options["--token-file"] in resolve(objects.configuration()).feed.read_token_files
    (volume,) = [one for one in pod["volumes"] if one["name"] == "feed"]
    assert [one["key"] for one in volume["secret"]["items"]] == ["read.token"]


def test_the_report_is_printed_and_the_job_ends_as_the_gates_say() -> None:
    objects = rendered(ON)
    assert "--markdown" in _options(objects)
    assert _pod(objects)["restartPolicy"] == "Never"
    (job,) = [one for name, one in objects.of("Job").items() if name.startswith(NAME)]
    assert job["spec"]["backoffLimit"] == 0, "a test that failed is not run again"


def test_its_files_are_kept_on_a_volume_where_that_is_wanted() -> None:
    assert "--output" not in _options(rendered(ON))
    assert NAME not in rendered(ON).of("PersistentVolumeClaim")
    kept = rendered(ON | {"loadtest.persistence.enabled": True, "loadtest.persistence.size": "2Gi"})
    claim = kept.of("PersistentVolumeClaim")[NAME]
    assert claim["spec"]["resources"]["requests"]["storage"] == "2Gi"
    assert claim["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    pod = _pod(kept)
    (volume,) = [one for one in pod["volumes"] if "persistentVolumeClaim" in one]
    assert volume["persistentVolumeClaim"]["claimName"] == NAME
    mounts = {one["mountPath"]: one["name"] for one in pod["containers"][0]["volumeMounts"]}
    assert mounts[_options(kept)["--output"]] == volume["name"]


def test_a_claim_of_one_s_own_is_used_and_none_is_made() -> None:
    own = {"loadtest.persistence.enabled": True, "loadtest.persistence.existingClaim": "reports"}
    objects = rendered(ON | own)
    assert not objects.of("PersistentVolumeClaim")
    (volume,) = [one for one in _pod(objects)["volumes"] if "persistentVolumeClaim" in one]
    assert volume["persistentVolumeClaim"]["claimName"] == "reports"
