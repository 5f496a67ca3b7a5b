"""docs/formats.md names every format that the code writes and every key that a real store holds."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgecl.errors import EdgeclError
from edgecl.store import Store
from edgecl.store.history import log, log_json, show
from edgecl.store.settings import settings_text

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
GOLDEN = ROOT / "tests" / "store" / "golden" / "store-2"
FREE = {"files", "coefficients", "parameters", "seeds", "checks", "failed", "run"}  # whose keys are data, or others'


def keys(value: object) -> Iterator[str]:
    """Every key of a JSON value whose meaning the page must tell."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            if key not in FREE:
                yield from keys(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from keys(inner)


def test_every_format_has_its_place() -> None:
    """Each `edgecl.<thing>/<n>` in the sources stands on the page, and the page invents none."""
    sources = [path.read_text(encoding="utf-8") for top in ("edgecl", "export") for path in (ROOT / top).rglob("*.py")]
    written = {name for source in sources for name in re.findall(r"edgecl\.[a-z]+/[0-9]+", source)}
    described = set(re.findall(r"edgecl\.[a-z]+/[0-9]+", PAGE))
    assert described == written


@pytest.mark.parametrize("path", sorted(GOLDEN.rglob("*.json")), ids=lambda path: "-".join(path.parts[-2:]))
def test_every_key_is_described(path: Path) -> None:
    """Keys of the golden store's JSON files, PEFT's own apart."""
    if path.name == "adapter_config.json":
        assert "adapter_config.json" in PAGE
        return
    missing = {key for key in keys(json.loads(path.read_text(encoding="utf-8"))) if f'"{key}"' not in PAGE} - {"failed"}
    assert missing == set()


def test_what_commands_print_is_described() -> None:
    """The keys of log and show."""
    store = Store.open(GOLDEN)
    for answer in (log_json(log(store)), show(store)):
        assert {key for key in keys(answer) if f'"{key}"' not in PAGE} == set()


def test_every_file_of_a_version_is_described() -> None:
    """By its name, and each tensor file by its tensors."""
    names = {path.name for path in (GOLDEN / "versions" / "000001").iterdir()} | {path.name for path in GOLDEN.iterdir()}
    assert [name for name in names if name not in PAGE] == []


def test_every_setting_is_described() -> None:
    """Each key of settings.toml is a row of the table with its default."""
    from edgecl.store import Settings

    for line in settings_text(Settings()).splitlines():
        if " = " in line:
            key, value = line.partition("#")[0].strip().split(" = ")
            assert re.search(rf"\| `{key}` \|.*\| {re.escape(value)} \|", PAGE), key


def test_every_exit_code_is_described() -> None:
    """The table has the codes of the exception tree, 0 beside them."""

    def codes(error: type[EdgeclError]) -> set[int]:
        return {error.exit_code}.union(*(codes(child) for child in error.__subclasses__()))

    assert {int(code) for code in re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)} == codes(EdgeclError) | {0}
