"""Lists what is watched: once at the start, so that the first decision sees everything, and then now and then
by name only, because a watch that breaks may miss a deletion."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from pipeline.errors import MissingError
from pipeline_operator import limits
from pipeline_operator.kube import paths
from pipeline_operator.kube.client import Api
from pipeline_operator.kube.errors import ApiAwayError, ApiError
from pipeline_operator.runtime.world import World

logger = logging.getLogger(__name__)
PATHS: dict[str, Callable[[str], str]] = {
    "pipelines": paths.pipelines,
    "statefulsets": paths.stateful_sets,
    "pods": paths.pods,
    "endpointslices": paths.endpoint_slices,
    "horizontalpodautoscalers": paths.autoscalers,
}
NAMES_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


async def wait_for_crd(api: Api) -> None:
    """Returns when the API server serves Pipelines."""
    told = ""
    while True:
        try:
            await api.get(f"/apis/{paths.API_VERSION}")
            return
        except ApiError as error:
            why = (
                f"no CustomResourceDefinition of {paths.API_VERSION} yet"
                if error.status == 404
                else str(error)
            )
        except ApiAwayError as error:
            why = f"the API server does not answer: {error}"
        if why != told:
            logger.warning("waiting: %s", why)
            told = why
        await asyncio.sleep(limits.PATIENCE_FOR_CRD_S)


async def list_all(api: Api, world: World, namespace: str) -> None:
    """Note everything that is there. Raises MissingError when we may not."""
    for plural, path in PATHS.items():
        while True:
            try:
                listed = await api.get(path(namespace))
                break
            except ApiError as error:
                if error.status == 403:
                    raise MissingError(
                        f"namespace {namespace}: may not list {plural}: {error.message}"
                    ) from None
                logger.warning("listing %s in %s: %s", plural, namespace, error)
            except ApiAwayError as error:
                logger.warning("listing %s in %s: %s", plural, namespace, error)
            await asyncio.sleep(limits.PATIENCE_FOR_CRD_S)
        for raw in listed["items"]:
            world.note(plural, raw, gone=False)


async def sweep(api: Api, world: World, namespace: str) -> int:
    """Drop what is gone; returns how many. Failures are logged: the next sweep comes."""
    dropped = 0
    for plural, path in PATHS.items():
        shelf = world.shelves[plural]
        before = [key for key in shelf.things if key[0] == namespace]
        if not before:
            continue
        try:
            listed = await api.get(path(namespace), accept=NAMES_ONLY)
        except (ApiError, ApiAwayError) as error:
            logger.info("sweeping %s in %s: %s", plural, namespace, error)
            continue
        names = [item["metadata"]["name"] for item in listed["items"]]
        dropped += len(shelf.drop_missed(before, names))
    return dropped
