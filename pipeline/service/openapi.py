"""What `/docs` says of `/flows`, derived from the rules in `schema`."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from pipeline.schema import FIELDS, MAX_NAME_LENGTH, PARTITION_ORDER, Field, ZeroBytes, minimum_of
from pipeline.service.records import MAX_RECORDS, NAMES
from pipeline.values import INT64_MAX

_EXAMPLE = {"src_app": "foo", "dest_app": "bar", "vpc_id": "vpc-0", "bytes_tx": 100, "bytes_rx": 300, "hour": 1}
_BEARER = "bearer"


def describe(document: dict[str, Any], zero_bytes: ZeroBytes, needs_token: bool) -> dict[str, Any]:
    """Adds `/flows`, and what all answers share, to what FastAPI says of the rest."""
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    schemas["Flow"] = _record({field.name: _property(field, zero_bytes) for field in FIELDS})
    schemas["Total"] = _record({field.name: _sum(field) for field in FIELDS})
    schemas["Problem"] = _PROBLEM
    document["paths"]["/flows"] = {"post": _post(), "get": _get(), "head": _get() | {"operationId": "head_flows"}}
    if needs_token:
        document["components"]["securitySchemes"] = {_BEARER: {"type": "http", "scheme": "bearer"}}
        for operation in (*document["paths"]["/flows"].values(), document["paths"]["/metrics"]["get"]):
            operation["security"] = [{_BEARER: []}]
            operation["responses"]["401"] = _refusal("No bearer token, or another one.")
    return document


def _record(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": {name: properties[name] for name in NAMES}, "required": list(NAMES)}


def _property(field: Field, zero_bytes: ZeroBytes) -> dict[str, Any]:
    minimum = minimum_of(field, zero_bytes)
    if pa.types.is_string(field.type):
        return {"type": "string", "minLength": minimum, "maxLength": MAX_NAME_LENGTH, "description": field.description}
    maximum = INT64_MAX if field.maximum is None else field.maximum
    return {"type": "integer", "minimum": minimum, "maximum": maximum, "description": field.description}


def _sum(field: Field) -> dict[str, Any]:
    """A total has the types of a record, but not its limits: files may have longer names, and sums are larger."""
    kind = "string" if pa.types.is_string(field.type) else "integer"
    return {"type": kind, "description": field.description}


_PROBLEM: dict[str, Any] = {
    "type": "object",
    "description": "RFC 9457",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"record": {"type": "integer"}, "field": {"type": "string"}, "detail": {"type": "string"}},
                "required": ["detail"],
            },
        },
    },
    "required": ["type", "title", "status", "detail"],
}


def _refusal(description: str) -> dict[str, Any]:
    return {
        "description": description,
        "content": {
            "text/plain": {"schema": {"type": "string"}},
            "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}},
        },
    }


def _post() -> dict[str, Any]:
    flows = {"type": "array", "items": {"$ref": "#/components/schemas/Flow"}, "minItems": 1, "maxItems": MAX_RECORDS}
    return {
        "operationId": "post_flows",
        "summary": "Count flow records",
        "description": ("All records of the array count, or none. 200 means that they are on disk. 5.0 is no integer here."),
        "parameters": [
            {
                "name": "Idempotency-Key",
                "in": "header",
                "description": "Requests with the same key and records count once within a day, however often they are sent.",
                "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
            }
        ],
        "requestBody": {"required": True, "content": {"application/json": {"schema": flows, "example": [_EXAMPLE]}}},
        "responses": {
            "200": {"description": "Counted."},
            "400": _refusal("A record is bad, and none counts."),
            "408": {"description": "The request came too slowly."},
            "413": _refusal("Too long a body, or too many records or hours."),
            "415": _refusal("The body is not application/json."),
            "422": _refusal("The Idempotency-Key came before with other records."),
            "503": _refusal("The records could not be written, and none counts; try again later."),
        },
    }


def _get() -> dict[str, Any]:
    hour = {"type": "integer", "minimum": 1, "maximum": INT64_MAX}
    filters = [
        {"name": name, "in": "query", "description": f"Only this {name}.", "schema": {"type": "string"}}
        for name in PARTITION_ORDER
    ]
    return {
        "operationId": "get_flows",
        "summary": "The sums of an hour",
        "description": "The sums so far by hour, src_app, dest_app and vpc_id, sorted by them.",
        "parameters": [
            {"name": "hour", "in": "query", "required": True, "description": "Hours since 1970, UTC.", "schema": hour},
            {
                "name": "until",
                "in": "query",
                "description": "Makes it a range: the first hour that is left out.",
                "schema": hour,
            },
            *filters,
        ],
        "responses": {
            "200": {
                "description": "The sums; none for an unknown hour.",
                "content": {
                    "application/json": {"schema": {"type": "array", "items": {"$ref": "#/components/schemas/Total"}}}
                },
            },
            "400": _refusal("The question cannot be answered."),
            "503": _refusal("The store cannot be read."),
        },
    }
