"""JSON from outside becomes dataclasses, or a sentence."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pytest

from edgecl.typed import strict_json, typed


@dataclass(frozen=True, kw_only=True)
class Inner:
    row: int


@dataclass(frozen=True, kw_only=True)
class Outer:
    name: str
    part: float
    parent: int | None
    role: Literal["replay", "holdout"]
    rows: tuple[Inner, ...]
    seeds: Mapping[str, int]
    checks: Mapping[str, Any]


@dataclass(frozen=True)
class Texts:
    text: str


GOOD: dict[str, Any] = {
    "name": "cola",
    "part": 1,
    "parent": None,
    "role": "replay",
    "rows": [{"row": 3}],
    "seeds": {"learn": 0},
    "checks": {"any": [None, {}]},
}


def test_a_good_value_comes_out_as_declared() -> None:
    """Nested dataclasses, tuples and mappings are built; a whole number in a float field stays as it is written."""
    value = typed(Outer, GOOD, "file")
    assert value == Outer(**{**GOOD, "rows": (Inner(row=3),)})
    assert isinstance(value.part, int)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("name", 7, "file.name is 7, expected a text without control characters"),
        ("name", "\x1b[2J", r"file.name is '\x1b[2J', expected a text without control characters"),
        ("name", "\ud800", r"file.name is '\ud800', expected a text without control characters"),
        ("part", "1", "file.part is '1', expected a number"),
        ("part", True, "file.part is True, expected a number"),
        ("part", float("inf"), "file.part is inf, expected a number"),
        ("parent", 1.5, "file.parent is 1.5, expected a whole number"),
        ("parent", False, "file.parent is False, expected a whole number"),
        ("parent", 10**4200, "file.parent is a number of many digits, expected a whole number"),
        ("part", 10**400, "file.part is a number of many digits, expected a number"),
        ("role", "thief", "file.role is 'thief', expected one of ['replay', 'holdout']"),
        ("role", [], "file.role is [], expected one of ['replay', 'holdout']"),
        ("rows", {}, "file.rows is {}, expected a list"),
        ("rows", [{"row": 0}, {"row": "a"}], "file.rows[1].row is 'a', expected a whole number"),
        ("rows", [3], "file.rows[0] is 3, expected an object"),
        ("rows", [{"row": 0, "line": 1}], "file.rows[0]: 'line' is unknown"),
        ("rows", [{}], "file.rows[0]: 'row' is missing"),
        ("seeds", [], "file.seeds is [], expected an object"),
        ("seeds", {"learn": "x" * 500}, f"file.seeds.learn is '{'x' * 79}, expected a whole number"),
    ],
)
def test_a_wrong_value_is_named_with_its_place(field: str, value: object, said: str) -> None:
    """The message says where, what, and what was expected, and stays short."""
    with pytest.raises(ValueError) as caught:
        typed(Outer, {**GOOD, field: value}, "file")
    assert str(caught.value) == said


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"[]", "it holds a list, not a JSON object"),
        (b'{"a": NaN}', "NaN is not a JSON number"),
        (b'{"a": -Infinity}', "-Infinity is not a JSON number"),
        (b'{"a": 1, "b": {"c": 1, "c": 2}}', "the key 'c' is there twice"),
        (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "it is nested too deeply"),
        (b'{"a": ' + b"[" * 64 + b"]" * 64 + b"}", "it is nested too deeply"),
        (b'{"a": ' * 65 + b"1" + b"}" * 65, "it is nested too deeply"),
        (b'{"a": ' + b"9" * 5000 + b"}", "Exceeds the limit"),
        (b'{"a": "\xff"}', "codec can't decode"),
        (b"{", "Expecting property name"),
    ],
)
def test_json_that_means_two_things_or_nothing_is_refused(data: bytes, said: str) -> None:
    """Doubled keys, numbers that are none or endless, deep nesting, bytes that are no text."""
    with pytest.raises(ValueError, match=said):
        strict_json(data)


@pytest.mark.parametrize("data", [b'{"a": ' + b"[" * 63 + b"]" * 63 + b"}", b'{"a": ' * 64 + b"1" + b"}" * 64])
def test_what_may_be_nested_can_be_shown(data: bytes) -> None:
    """The deepest value that is read still fits into a message, also far up in the program."""

    def far_up(frames: int) -> None:
        if frames:
            far_up(frames - 1)
            return
        with pytest.raises(ValueError, match=r"value.text is .*, expected a text without control characters"):
            typed(Texts, {"text": strict_json(data)}, "value")

    far_up(500)
