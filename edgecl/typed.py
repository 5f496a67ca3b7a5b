"""JSON from outside becomes frozen dataclasses, field by field and type by type, or one sentence says which value is wrong where.

What comes out has the types that its dataclass declares, so nothing behind it has to wonder whether a row is a number. Pure Python.
"""

import dataclasses
import functools
import json
import math
import types
import typing
import unicodedata
from collections.abc import Mapping
from typing import Any, Literal, TypeVar

T = TypeVar("T")
DEEPEST = 64  # objects and lists in each other: far more than edgecl writes, and few enough for any message to show them
LARGEST = 2**63 - 1  # of a whole number, either sign: beyond it other readers of these files lose digits


def strict_json(data: bytes) -> dict[str, Any]:
    """The JSON object in `data`: UTF-8, each key once, no NaN or Infinity, at most `DEEPEST` objects and lists in each other.

    Raises:
        ValueError: it is anything else.
    """
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=_once, parse_constant=_no_constant)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if not isinstance(value, dict):
        raise ValueError(f"it holds a {type(value).__name__}, not a JSON object")
    if _levels(value) > DEEPEST:
        raise ValueError("it is nested too deeply")
    return value


def _levels(value: dict[str, Any]) -> int:
    """How many objects and lists lie in each other; counted up to one more than are allowed."""
    level: list[dict[str, Any] | list[Any]] = [value]
    levels = 0
    while level and levels <= DEEPEST:
        inside = (item for outer in level for item in (outer.values() if isinstance(outer, dict) else outer))
        level = [item for item in inside if isinstance(item, dict | list)]
        levels += 1
    return levels


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        seen: set[str] = set()
        doubled = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {doubled[:80]!r} is there twice")
    return value


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not a JSON number")


def typed(kind: type[T], value: object, where: str) -> T:
    """`value` as an instance of the dataclass `kind`; `where` names it in the message.

    Fields may be declared as bool, int, float, str, Any, Literal, another dataclass, `X | None`, `tuple[X, ...]`, `tuple[X, X]` and
    `Mapping[str, X]`. One with a default may be missing.
    Numbers stay as they are written: a whole number in a float field is not turned into a float, so that hashes over the JSON agree.

    Raises:
        ValueError: a field is missing, unknown or of another type.
    """
    return typing.cast(T, _built(kind, value, where))


def _built(kind: Any, value: Any, where: str) -> Any:
    if kind is Any:
        return value
    if dataclasses.is_dataclass(kind):
        return _dataclass(kind, value, where)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        inner = next(argument for argument in arguments if argument is not type(None))
        return None if value is None else _built(inner, value, where)
    if origin is Literal:
        return value if isinstance(value, str) and value in arguments else _wrong(value, where, f"one of {list(arguments)}")
    if origin is tuple:
        items = value if isinstance(value, list | tuple) else _wrong(value, where, "a list")
        if arguments[-1] is not Ellipsis and len(items) != len(arguments):
            _wrong(value, where, f"a list of {len(arguments)}")
        return tuple(_built(arguments[0], item, f"{where}[{index}]") for index, item in enumerate(items))
    if origin is Mapping:
        fields = value if isinstance(value, dict) else _wrong(value, where, "an object")
        return {key: _built(arguments[1], item, f"{where}.{key[:80]}") for key, item in fields.items()}
    return _plain(kind, value, where)


def _dataclass(kind: Any, value: Any, where: str) -> Any:
    hints = _hints(kind)
    if not isinstance(value, dict):
        _wrong(value, where, "an object")
    optional = {field.name for field in dataclasses.fields(kind) if field.default is not dataclasses.MISSING}
    odd = sorted(
        [f"{name[:80]!r} is unknown" for name in set(value) - set(hints)]
        + [f"{name!r} is missing" for name in set(hints) - set(value) - optional]
    )
    if odd:
        raise ValueError(f"{where}: {', '.join(odd[:4])}")
    return kind(**{name: _built(hint, value[name], f"{where}.{name}") for name, hint in hints.items() if name in value})


@functools.cache
def _hints(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _plain(kind: Any, value: Any, where: str) -> Any:
    if kind is str:
        # Control characters could steer a terminal that shows the text; a lone surrogate cannot be written as UTF-8.
        clean = isinstance(value, str) and not any(unicodedata.category(character) in ("Cc", "Cs") for character in value)
        return value if clean else _wrong(value, where, "a text without control characters")
    if kind is bool:
        return value if isinstance(value, bool) else _wrong(value, where, "true or false")
    if kind is int:
        whole = isinstance(value, int) and not isinstance(value, bool) and abs(value) <= LARGEST
        return value if whole else _wrong(value, where, "a whole number")
    if kind is float:
        number = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST and math.isfinite(value)
        return value if number else _wrong(value, where, "a number")
    raise TypeError(f"{where} is declared as {kind}, which nothing here reads")


def _wrong(value: object, where: str, expected: str) -> Any:
    shown = repr(value) if not isinstance(value, int) or abs(value) <= LARGEST else "a number of many digits"
    raise ValueError(f"{where} is {shown[:80]}, expected {expected}")
