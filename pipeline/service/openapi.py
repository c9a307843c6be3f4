"""The OpenAPI document of the service, and the page for `/docs`, made from the rules in `schema`."""

from __future__ import annotations

import json
from html import escape
from typing import Any

import pyarrow as pa

from pipeline.query.query import FILTERS
from pipeline.scalars import INT64_MAX
from pipeline.schema import FIELDS, MAX_NAME_LENGTH, PARTITION_ORDER, Field, ZeroBytes, minimum_of
from pipeline.service.body import MAX_RECORDS
from pipeline.service.explain import NAMES

_EXAMPLE = {"src_app": "foo", "dest_app": "bar", "vpc_id": "vpc-0", "bytes_tx": 100, "bytes_rx": 300, "hour": 1}
_BEARER, _BASIC = "bearer", "basic"

#: What a browser may load for the page: nothing but the styles in it.
PAGE_POLICY = b"default-src 'none'; style-src 'unsafe-inline'"
_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>flowlog</title><style>
body { font: 16px/1.5 sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em }
td { padding: 0 1em 0 0; vertical-align: top } td:first-child { font-family: monospace } pre { overflow-x: auto }
</style>"""


def document(zero_bytes: ZeroBytes, *, needs_token: bool) -> dict[str, Any]:
    """The OpenAPI document of a service with these options."""
    flows = {"post": _post(), "get": _get(), "head": _get() | {"operationId": "head_flows"}}
    paths = {"/": {"get": _page()}, "/flows": flows, "/metrics": {"get": _metrics()}, "/healthz": {"get": _healthz()}}
    components: dict[str, Any] = {
        "schemas": {
            "Flow": _record({field.name: _property(field, zero_bytes) for field in FIELDS}),
            "Total": _record({field.name: _sum(field) for field in FIELDS}),
            "Problem": _PROBLEM,
        }
    }
    for path in paths.values():
        for operation in path.values():
            operation["responses"] |= _ALWAYS
    if needs_token:
        components["securitySchemes"] = {kind: {"type": "http", "scheme": kind} for kind in (_BEARER, _BASIC)}
        paths["/"]["get"]["security"] = [{_BASIC: []}, {_BEARER: []}]
        paths["/"]["get"]["responses"]["401"] = _refusal("The password is missing, or is not the token.")
        for operation in (*flows.values(), paths["/metrics"]["get"]):
            operation["security"] = [{_BEARER: []}]
            operation["responses"]["401"] = _refusal("The bearer token is missing, or not the one.")
    # The version is the contract's, not flowlog's.
    info = {"title": "flowlog", "version": "1", "description": "Flow records in, hourly totals out."}
    return {"openapi": "3.1.0", "info": info, "paths": paths, "components": components}


def to_json(document: dict[str, Any]) -> bytes:
    """A document for programs."""
    return json.dumps(document).encode()


def to_page(document: dict[str, Any]) -> bytes:
    """A document as a page for people: without scripts, and without anything from another host."""
    parts = [_PAGE, f"<h1>{document['info']['title']}</h1><p>{document['info']['description']}</p>"]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            parts.append(f"<h2>{method.upper()} {escape(path)}</h2><p>{escape(operation['summary'])}.")
            parts.append(f" {escape(operation.get('description', ''))}</p><table>")
            parts += (_row(given["name"], given["description"]) for given in operation.get("parameters", ()))
            parts += (_row(status, answer["description"]) for status, answer in operation["responses"].items())
            parts.append("</table>")
    schemas = document["components"]["schemas"]
    parts += (f"<h2>{name}</h2><pre>{escape(json.dumps(schema, indent=2))}</pre>" for name, schema in schemas.items())
    parts.append('<p><a href="openapi.json">The same for programs</a></p>')
    return "".join(parts).encode()


def _row(name: str, description: str) -> str:
    return f"<tr><td>{escape(name)}<td>{escape(description)}"


def _record(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": {name: properties[name] for name in NAMES}, "required": list(NAMES)}


def _property(field: Field, zero_bytes: ZeroBytes) -> dict[str, Any]:
    minimum = minimum_of(field, zero_bytes)
    if pa.types.is_string(field.type):
        return {"type": "string", "minLength": minimum, "maxLength": MAX_NAME_LENGTH, "description": field.description}
    return {"type": "integer", "minimum": minimum, "maximum": field.maximum, "description": field.description}


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
        "more": {"type": "integer", "description": "How many further errors there are."},
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


def _page() -> dict[str, Any]:
    page = {"content": {"text/html": {"schema": {"type": "string"}}}}
    words = {
        "when": "The hours: latest, 498752, 2026-11-24T08, 2026-11-24, -24h.",
        "until": "Makes it a range: the first hour that is left out.",
    } | {name: f"Only this {name}; * stands for any text." for name in FILTERS}
    return {
        "operationId": "page",
        "summary": "The totals as a page for people",
        "parameters": [
            {"name": name, "in": "query", "description": description, "schema": {"type": "string"}}
            for name, description in words.items()
        ],
        "responses": {
            "200": {"description": "The page.", **page},
            "400": {"description": "A page that says what is wrong.", **page},
            "503": _refusal("The store cannot be read, or there are too many long answers."),
        },
    }


def _healthz() -> dict[str, Any]:
    text = {"content": {"text/plain": {"schema": {"type": "string"}}}}
    return {
        "operationId": "healthz",
        "summary": "Whether records are moved into flows",
        "description": "Where records are not moved, they are safe in the log.",
        "responses": {
            "200": {"description": "Records are moved.", **text},
            "503": {"description": "Records are stuck.", **text},
        },
    }


def _metrics() -> dict[str, Any]:
    return {
        "operationId": "metrics",
        "summary": "Numbers for Prometheus",
        "responses": {"200": {"description": "The numbers.", "content": {"text/plain": {"schema": {"type": "string"}}}}},
    }


def _refusal(description: str) -> dict[str, Any]:
    return {
        "description": description,
        "content": {
            "text/plain": {"schema": {"type": "string"}},
            "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}},
        },
    }


#: What may be answered on any path.
_ALWAYS = {
    "403": _refusal("The request comes from a page of another origin."),
    "408": _refusal("The request came too slowly."),
    "414": _refusal("Too long a target."),
    "421": _refusal("The service is not asked under this name."),
    "431": _refusal("Too long a head."),
}


def _post() -> dict[str, Any]:
    flows = {"type": "array", "items": {"$ref": "#/components/schemas/Flow"}, "minItems": 1, "maxItems": MAX_RECORDS}
    return {
        "operationId": "post_flows",
        "summary": "Count flow records",
        "description": (
            "All records of the array count, or none. 200 means that the records are on disk. 5.0 is not an integer here."
        ),
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
                "description": "The sums; an empty array for an unknown hour.",
                "content": {
                    "application/json": {"schema": {"type": "array", "items": {"$ref": "#/components/schemas/Total"}}}
                },
            },
            "400": _refusal("The question cannot be answered."),
            "503": _refusal("The store cannot be read."),
        },
    }
