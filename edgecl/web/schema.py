"""The part of JSON Schema that the page's requests need: one dict both describes a value in the OpenAPI document and checks it."""

import re
from collections.abc import Mapping
from typing import Any

Schema = Mapping[str, Any]

STRING: Schema = {"type": "string", "minLength": 1, "maxLength": 100}
BOOLEAN: Schema = {"type": "boolean"}
_KINDS: Mapping[str, tuple[type, str]] = {
    "object": (dict, "an object"),
    "string": (str, "a text"),
    "integer": (int, "a whole number"),
    "boolean": (bool, "true or false"),
}


def integer(low: int, high: int = 2**31 - 1) -> Schema:
    """A whole number within these bounds."""
    return {"type": "integer", "minimum": low, "maximum": high}


def record(required: Mapping[str, Schema], optional: Mapping[str, Schema] | None = None) -> Schema:
    """An object with these fields and no others."""
    return {
        "type": "object",
        "properties": {**required, **(optional or {})},
        "required": list(required),
        "additionalProperties": False,
    }


def fault(schema: Schema, value: object, name: str = "the body") -> str:
    """What keeps `value` from fitting, in words, or nothing."""
    kind, words = _KINDS[schema["type"]]
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        return f"{name} is {value!r:.60}, expected {words}"
    if isinstance(value, dict):
        return _object_fault(schema, value, name)
    if isinstance(value, str):
        low, high = schema.get("minLength", 0), schema.get("maxLength", 1000)
        if not low <= len(value) <= high:
            return f"{name} has {len(value)} characters, expected {low} to {high}"
        if "pattern" in schema and re.fullmatch(schema["pattern"], value) is None:
            return f"{name} is {value!r:.60}, expected the form {schema['pattern']}"
    elif isinstance(value, int) and "minimum" in schema and not schema["minimum"] <= value <= schema["maximum"]:
        return f"{name} is {value}, expected {schema['minimum']} to {schema['maximum']}"
    return ""


def _object_fault(schema: Schema, value: Mapping[str, object], name: str) -> str:
    for key in schema["required"]:
        if key not in value:
            return f"{name} lacks {key!r}"
    for key, inner in value.items():
        if key not in schema["properties"]:
            return f"{name} has {key!r}, expected only {', '.join(schema['properties']) or 'no field'}"
        found = fault(schema["properties"][key], inner, repr(key))
        if found:
            return found
    return ""
