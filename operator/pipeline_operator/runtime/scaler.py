"""Writes `/scale`, and nothing else of a StatefulSet."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

from pipeline.clock import Clock
from pipeline_operator import limits
from pipeline_operator.kube import paths
from pipeline_operator.kube.client import FIELD_MANAGER, Api
from pipeline_operator.kube.errors import ApiAwayError, ApiError
from pipeline_operator.record import Write
from pipeline_operator.runtime.seen import SeenSet, set_of
from pipeline_operator.runtime.world import World

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Written:
    """What became of a write. `seen` is the StatefulSet after it; `fault` is empty when it was done.

    `away`: the API server did not take it because of its own troubles; it is written again soon.
    `refusal`: why it would not take it again either, in a word; empty when it might.
    """

    write: Write
    seen: SeenSet | None
    fault: str = ""
    away: bool = False
    refusal: str = ""


class Scaler:
    """Server-side apply on the very version that the decision saw: anything newer makes it a 409, and the
    target is read again and decided on anew.

    It is applied without force while the field is ours alone. Who creates a StatefulSet by POST or by
    client-side apply, as Helm 3 and kubectl do, owns its replicas, even the default that was left out; one
    made by server-side apply without replicas belongs to nobody, which is a conflict as well; and so does who
    scaled it by hand, after the ten minutes for which that is respected. Then the field has to be taken over,
    which the API calls force: once for each StatefulSet. The version makes that safe: what is overruled is
    what the decision knew.
    """

    def __init__(self, api: Api, world: World, clock: Clock) -> None:
        self._api = api
        self._world = world
        self._clock = clock

    async def scale(self, namespace: str, write: Write) -> Written:
        """Never raises for what an API server may answer.

        A version changes with every pod that comes or goes. When nothing but that has changed, the replicas
        and whose they are being what the decision saw, the newer version is tried at once.
        """
        async with self._api.urgent():
            return await self._scale(namespace, write)

    async def probe(self, namespace: str, write: Write) -> Written:
        """As `scale`, but nothing is stored: whether what was refused would be taken now."""
        async with self._api.patient():
            return await self._scale(namespace, write, dry_run=True)

    async def _scale(self, namespace: str, write: Write, *, dry_run: bool = False) -> Written:
        seen = self._world.sets.get(namespace, write.target)
        for _ in range(limits.SCALE_TRIES):
            if seen is None:
                self._world.sets.keep_without(namespace, write.target)
                return Written(write, None, f"StatefulSet {write.target} is gone")
            try:
                return Written(write, await self._apply(namespace, write, seen, dry_run=dry_run))
            except ApiError as error:
                fault = error.message or str(error)
                if error.status not in (404, 409):
                    return _not_taken(write, error)
            except ApiAwayError as error:
                return Written(write, None, str(error), away=True)
            before = seen
            try:
                seen = await self._read_again(namespace, write.target)
            except ApiError as error:
                return _not_taken(write, error)
            except ApiAwayError:
                return Written(write, None, fault, away=True)
            if seen is not None and _changed_hands(before, seen):
                return Written(write, seen, fault)
        return Written(write, seen, fault)

    async def _apply(self, namespace: str, write: Write, seen: SeenSet, *, dry_run: bool) -> SeenSet:
        """The StatefulSet after it. Raises ApiError and ApiAwayError."""
        body = {
            "apiVersion": "autoscaling/v1",
            "kind": "Scale",
            "metadata": {"name": write.target, "namespace": namespace, "resourceVersion": seen.version},
            "spec": {"replicas": write.replicas},
        }
        force = seen.must_be_taken_over
        if force and not dry_run:
            others = ", ".join(manager for manager, _ in seen.owners if manager != FIELD_MANAGER)
            text = "%s/%s: taking spec.replicas over from %s"
            logger.info(text, namespace, write.target, others or "nobody")
        path = paths.scale(namespace, write.target)
        scaled = await self._api.apply(path, body, force=force, dry_run=dry_run)
        if dry_run:
            return seen
        after = replace(
            seen,
            version=str(scaled["metadata"]["resourceVersion"]),
            replicas=int(scaled["spec"]["replicas"]),
            owners=((FIELD_MANAGER, self._clock.wall_us()),),
        )
        self._world.sets.put(namespace, write.target, after)
        return after

    async def _read_again(self, namespace: str, name: str) -> SeenSet | None:
        """As it is now; None when it is gone. Raises ApiError and ApiAwayError."""
        try:
            seen = set_of(await self._api.get(paths.stateful_sets(namespace, name)))
        except ApiError as error:
            if error.status == 404:
                return None
            raise
        self._world.sets.put(namespace, name, seen)
        return seen


def _not_taken(write: Write, error: ApiError) -> Written:
    fault = error.message or str(error)
    if not error.is_refusal:
        return Written(write, None, fault, away=True)
    return Written(write, None, fault, refusal="ScaleForbidden" if error.status == 403 else "ScaleRefused")


def _changed_hands(before: SeenSet, after: SeenSet) -> bool:
    """Somebody wrote the replicas: what was decided is to be decided anew."""
    owners = [{manager for manager, _ in seen.owners} for seen in (before, after)]
    return before.uid != after.uid or before.replicas != after.replicas or owners[0] != owners[1]
