"""Names of versions and tasks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecl.errors import StoreDamaged
from edgecl.store.names import checked_hash, task_id, version_folder, version_number


@given(st.integers(0, 10**9))
def test_a_version_number_survives_its_folder(number: int) -> None:
    """Name and number are one to one."""
    assert version_number(version_folder(number)) == number


@pytest.mark.parametrize("name", ["7", "00007", "0000007", "00000x", "-00007", "000007.tmp", "", "０００００７"])
def test_other_names_are_no_versions(name: str) -> None:
    """Only the one spelling counts."""
    assert version_number(name) is None


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cans", "t0003-cans"),
        ("New Cans (2024)", "t0003-New-Cans-2024"),
        ("../../etc", "t0003-etc"),
        ("Gemüse", "t0003-Gemüse"),
        ("Gemu\u0308se", "t0003-Gemüse"),
        ("缶", "t0003-缶"),
        ("a\nb\x00c", "t0003-a-b-c"),
        ("...", "t0003-task"),
        ("", "t0003-task"),
        ("x" * 80, "t0003-" + "x" * 60),
    ],
)
def test_a_task_id_is_safe_to_print_and_to_file(name: str, expected: str) -> None:
    """The folder's name in NFC, with `-` for what is neither letter nor digit, at most 60 characters."""
    assert task_id(3, name) == expected


@given(st.integers(0, 99999), st.text(max_size=80))
def test_a_task_id_of_any_folder_is_a_file_name(number: int, name: str) -> None:
    """No separator, no space, at most 255 bytes, and stable when applied again."""
    made = task_id(number, name)
    assert not set(made) & set("/\\ \t\n\0:")
    assert len(made.encode()) <= 255
    slug = made.partition("-")[2]
    assert slug
    assert task_id(number, slug) == made


@pytest.mark.parametrize("value", ["", "abc", "A" * 64, "a" * 63 + "/", "../" * 21 + "a", 7, None])
def test_only_a_hash_becomes_a_path(value: object) -> None:
    """Anything but 64 hex digits is refused."""
    with pytest.raises(StoreDamaged, match=r"belongs. Run: edgecl verify"):
        checked_hash(value)  # type: ignore[arg-type]
    assert checked_hash("0" * 64) == "0" * 64
