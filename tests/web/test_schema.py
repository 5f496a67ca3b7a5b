"""The small part of JSON Schema that checks requests."""

import pytest

from edgecl.web.schema import BOOLEAN, STRING, Schema, fault, integer, record

SHAPE = record({"camera": integer(0, 9)}, {"name": STRING, "stage": BOOLEAN})


@pytest.mark.parametrize("value", [{"camera": 0}, {"camera": 9, "name": "x", "stage": False}])
def test_what_fits(value: object) -> None:
    """Required fields are there, optional ones may be, bounds are inside."""
    assert fault(SHAPE, value) == ""


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ([], "the body is [], expected an object"),
        ({}, "the body lacks 'camera'"),
        ({"camera": 1, "more": 2}, "the body has 'more', expected only camera, name, stage"),
        ({"camera": 10}, "'camera' is 10, expected 0 to 9"),
        ({"camera": -1}, "'camera' is -1, expected 0 to 9"),
        ({"camera": True}, "'camera' is True, expected a whole number"),
        ({"camera": 1.0}, "'camera' is 1.0, expected a whole number"),
        ({"camera": 1, "name": ""}, "'name' has 0 characters, expected 1 to 100"),
        ({"camera": 1, "name": "x" * 101}, "'name' has 101 characters, expected 1 to 100"),
        ({"camera": 1, "stage": 1}, "'stage' is 1, expected true or false"),
    ],
)
def test_what_does_not_fit_is_told(value: object, words: str) -> None:
    """The first fault is named with its value and what was expected."""
    assert fault(SHAPE, value) == words


def test_a_pattern_must_fit_from_end_to_end() -> None:
    """A form is matched as a whole."""
    form: Schema = {"type": "string", "pattern": "[0-9a-f]{2}"}
    assert fault(form, "ab", "hash") == ""
    assert fault(form, "ab/..", "hash") == "hash is 'ab/..', expected the form [0-9a-f]{2}"
