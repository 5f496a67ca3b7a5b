"""The OpenAPI 3.1 document of the page, made from the same rows as its routes."""

from collections.abc import Iterable, Mapping
from typing import Any

from edgecl import __version__
from edgecl.web.endpoints import BODY_TYPES, Endpoint

PROBLEM = {
    "type": "object",
    "properties": {"format": {"const": "edgecl.problem/1"}, "problem": {"type": "string"}},
    "required": ["format", "problem"],
}


def document(endpoints: Iterable[Endpoint]) -> dict[str, Any]:
    """The document; each endpoint is one operation."""
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint)
    return {
        "openapi": "3.1.0",
        "info": {"title": "edgecl", "version": __version__, "description": "The page of the running app, for machines."},
        "paths": paths,
        "components": {
            "schemas": {"Problem": PROBLEM},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(endpoint: Endpoint) -> dict[str, Any]:
    found: dict[str, Any] = {
        "summary": endpoint.summary,
        "operationId": _operation_id(endpoint),
        "responses": {str(status): _response(endpoint, status, words) for status, words in sorted(_statuses(endpoint).items())},
    }
    parameters = [
        {"name": name, "in": place, "required": place == "path", "schema": dict(schema)}
        for place, schemas in (("path", endpoint.parameters()), ("query", endpoint.query))
        for name, schema in schemas.items()
    ]
    if parameters:
        found["parameters"] = parameters
    if isinstance(endpoint.body, str):
        content = {kind: {"schema": {"type": "string", "format": "binary"}} for kind in BODY_TYPES[endpoint.body]}
        found["requestBody"] = {"required": True, "content": content}
    elif endpoint.body is not None:
        found["requestBody"] = {"required": True, "content": {"application/json": {"schema": endpoint.body}}}
    if endpoint.changes:
        found["security"] = [{"token": []}]
    return found


def _operation_id(endpoint: Endpoint) -> str:
    module, name = endpoint.handler.__module__.rpartition(".")[2], endpoint.handler.__name__
    return f"{module}_{name}"


def _statuses(endpoint: Endpoint) -> dict[int, str]:
    found = dict(endpoint.refusals())
    for status, words in endpoint.answers.items():
        found[status] = f"{found[status]}; {words}" if status in found else words
    return found


def _response(endpoint: Endpoint, status: int, words: str) -> dict[str, Any]:
    if status == 204:
        return {"description": words}
    if status < 300:
        return {"description": words, "content": {endpoint.media: {}}}
    schema: Mapping[str, Any] = {"$ref": "#/components/schemas/Problem"}
    return {"description": words, "content": {"application/json": {"schema": schema}}}
