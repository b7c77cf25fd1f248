"""The OpenAPI page: FastAPI's, with the shapes of `wire` as their decoder has them."""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from pipeline.stages.valuation import wire

_REF = "#/components/schemas/{name}"
SHAPES = (
    wire.ValuationIn, wire.ValuationOut, wire.DomainIn, wire.DomainOut, wire.DomainsOut, wire.HoldingIn,
    wire.MarkIn, wire.MarkOut, wire.MarksOut, wire.CandlesIn, wire.TakenOut, wire.NavsOut, wire.SnapshotOut,
    wire.StatusOut, wire.HealthOut, wire.ProblemOut,
)  # fmt: skip


def takes(shape: type[msgspec.Struct]) -> dict[str, Any]:
    """For a route's `openapi_extra`: the body that it takes."""
    content = {"application/json": {"schema": _ref(shape)}}
    return {"requestBody": {"required": True, "content": content}}


def answers(status: int, shape: type[msgspec.Struct] | None, *problems: int) -> dict[int | str, Any]:
    """For a route's `responses`: its answer, and the statuses of its problems."""
    found: dict[int | str, Any] = {
        number: {
            "description": "Problem details, RFC 9457",
            "content": {"application/problem+json": {"schema": _ref(wire.ProblemOut)}},
        }
        for number in (*problems, 401, 403)
    }
    found[status] = {"description": "Done"}
    if shape is not None:
        found[status]["content"] = {"application/json": {"schema": _ref(shape)}}
    return found


def describe(app: FastAPI) -> dict[str, Any]:
    """The whole document."""
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, description=app.description,
                               routes=app.routes)  # fmt: skip
        _, components = msgspec.json.schema_components(SHAPES, ref_template=_REF)
        schemas = {
            name: shape
            for name, shape in document.get("components", {}).get("schemas", {}).items()
            if name not in ("HTTPValidationError", "ValidationError")
        }
        document["components"] = {
            "schemas": {**schemas, **components},
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        }
        document["security"] = [{"bearer": []}, {}]
        app.openapi_schema = document
    return app.openapi_schema


def _ref(shape: type[msgspec.Struct]) -> dict[str, str]:
    return {"$ref": _REF.format(name=shape.__name__)}
