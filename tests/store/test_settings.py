"""settings.toml: what a person may edit, and what is said when it does not make sense."""

import re
from pathlib import Path

import pytest

from edgecl.errors import BadSettings, StoreDamaged
from edgecl.settings import AnnounceSettings, BundleSettings, CameraSettings, GateSettings, MemorySettings
from edgecl.store import Settings, Store
from edgecl.store.rules import RULES
from edgecl.store.settings import LearnDefaults, settings_text


def write(store: Store, text: str) -> None:
    """Replace settings.toml."""
    (store.root / "settings.toml").write_text(text)


def test_a_new_store_has_what_it_was_created_with(store: Store) -> None:
    """The file that init writes reads back as the same settings, every key with a comment."""
    assert store.settings() == Settings()
    settings = Settings(memory=MemorySettings(per_class=3, budget_mib=0.5), gate=GateSettings(max_drop=0.1, significance=0.01))
    write(store, settings_text(settings))
    assert store.settings() == settings
    assert all("#" in line for line in settings_text(settings).splitlines() if "=" in line)


def test_what_is_left_out_has_its_default(store: Store) -> None:
    """An empty file is all defaults; one key changes one value; a whole number is a fine MiB."""
    write(store, "")
    assert store.settings() == Settings()
    write(store, "[memory]\nbudget_mib = 12\n")
    assert store.settings() == Settings(memory=MemorySettings(budget_mib=12.0))
    write(store, "[learn]\nthreads = 2\ndevice = 'cpu'\n")
    assert store.settings() == Settings(learn=LearnDefaults(threads=2, device="cpu"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[memory]\nper_class = 0", r"\[memory\] per_class = 0, expected a whole number from 1 to 10000"),
        ("[memory]\nper_class = 2.5", r"\[memory\] per_class = 2.5, expected a whole number"),
        ("[memory]\nper_class = true", r"\[memory\] per_class = True, expected a whole number"),
        ("[memory]\nper_class = 'ten'", r"\[memory\] per_class = 'ten', expected a whole number"),
        ("[memory]\nbudget_mib = -1", r"\[memory\] budget_mib = -1, expected a number of MiB"),
        ("[memory]\nbudget_mib = nan", r"\[memory\] budget_mib = nan, expected a number of MiB"),
        ("[memory]\nbudget = 1", r"\[memory\] budget is unknown, expected one of: per_class, budget_mib"),
        ("[gate]\nmax_drop = 3", r"\[gate\] max_drop = 3, expected a number from 0 to 1 \(0.03 is 3 points\)"),
        ("[gate]\nsignificance = inf", r"\[gate\] significance = inf, expected a number from 0 to 1"),
        ("[gates]\nmax_drop = 0.1", r"\[gates\] is unknown, expected \[memory\], .* or \[cameras.NAME\]"),
        ("[guard]\nhot_c = 70", r"\[guard\] cool_c = 75 is above hot_c = 70, so learning would wait for ever. Lower cool_c."),
        ("[guard]\nreserve_mib = 1.5", r"\[guard\] reserve_mib = 1.5, expected a whole number of MiB"),
        ("[learn]\ndevice = 'gpu'", r"\[learn\] device = 'gpu', expected one of auto, cpu, cuda"),
        ("[learn]\nbatch = 0", r"\[learn\] batch = 0, expected a whole number from 1 to 4096"),
        ("[learn]\nthreads = 'all'", r"\[learn\] threads = 'all', expected a whole number from 0 to 1024"),
        ("[learn]\nepochs = 3", r"\[learn\] epochs is unknown, expected one of: device, threads, batch"),
        ("[announce]\nhold_s = -1", r"\[announce\] hold_s = -1, expected a number of seconds from 0 to 3600"),
        ("[announce]\nmqtt = 5", r"\[announce\] mqtt = 5, expected a text in quotes"),
        ("[announce]\ncommand = 'reboot'", r"\[announce\] command = 'reboot', expected a list of words"),
        ("[announce]\ncommand = []", r"\[announce\] command = \[\], expected a list of words"),
        ("[cameras]\nbench = 1", r"cameras.bench = 1 stands where the table \[cameras.bench\] belongs"),
        ("[cameras.bench]\nmax_fps = 5", r"\[cameras.bench\] has no source, expected a text in quotes, such as source ="),
        ("[cameras.'a/b']\nsource = '0'", r"\[cameras.a/b\] is no camera's name, expected 1 to 40 letters"),
        ("[cameras.a]\nsource = ''", r"\[cameras.a\] source = '', expected a text in quotes"),
        ("[cameras.a]\nsource = '0'\nfps = 5", r"\[cameras.a\] fps is unknown, expected one of: source, region, max_fps, smoothing, loop"),
        ("[cameras.a]\nsource = '0'\nmax_fps = -1", r"\[cameras.a\] max_fps = -1, expected a number of frames per second"),
        ("[cameras.a]\nsource = '0'\nsmoothing = 0", r"\[cameras.a\] smoothing = 0, expected a whole number of frames"),
        ("[cameras.a]\nsource = '0'\nloop = 1", r"\[cameras.a\] loop = 1, expected true or false"),
        ("[cameras.a]\nsource = '0'\nregion = [0, 0, 1]", r"\[cameras.a\] region = \[0, 0, 1\], expected \[left, top, width, height\]"),
        ("[cameras.a]\nsource = '0'\nregion = [0.5, 0, 0.6, 1]", r"\[cameras.a\] region = .*, expected \[left, top, width, height\]"),
        ("[cameras.a]\nsource = '0'\nregion = [-0.1, 0, 0.6, 1]", r"\[cameras.a\] region = "),
        ("[cameras.a]\nsource = '0'\nregion = [0, 0, 0, 1]", r"\[cameras.a\] region = "),
        ("[cameras.a]\nsource = '0'\nregion = [0, 0, true, 1]", r"\[cameras.a\] region = "),
        ("[bundles]\ntrusted = []", r"\[bundles\] trusted is unknown, expected one of: trusted_keys"),
        ("[bundles]\ntrusted_keys = ''", r"\[bundles\] trusted_keys = '', expected a list of texts such as \"ed25519:"),
        ("[bundles]\ntrusted_keys = false", r"\[bundles\] trusted_keys = False, expected a list"),
        ("[bundles]\ntrusted_keys = ['ed25519:00']", r"\[bundles\] trusted_keys = \['ed25519:00'\], expected a list"),
        ("[bundles]\ntrusted_keys = [1]", r"\[bundles\] trusted_keys = \[1\], expected a list"),
        ("memory = 5", r"memory = 5 stands where the table \[memory\] belongs"),
        ("[memory\n", "is not TOML: "),
        ("a = 1\na = 2", "is not TOML: "),
    ],
)
def test_a_bad_value_is_named(store: Store, text: str, message: str) -> None:
    """File, key, value and expectation stand in the message."""
    write(store, text)
    with pytest.raises(BadSettings, match=f"^settings.toml: {message}|^settings.toml {message}"):
        store.settings()


def test_bytes_that_are_no_text(store: Store) -> None:
    """Not UTF-8 is not TOML."""
    (store.root / "settings.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(BadSettings, match=r"settings.toml is not TOML"):
        store.settings()


def test_a_missing_file_is_damage(store: Store) -> None:
    """Silence is not a choice: an empty file means defaults, no file does not."""
    (store.root / "settings.toml").unlink()
    with pytest.raises(StoreDamaged, match=r"settings.toml is missing"):
        store.settings()


def test_cameras_and_receivers_are_read(store: Store) -> None:
    """In the order of the file; what is left out has its default."""
    write(
        store,
        """
        [announce]
        hold_s = 2
        mqtt = "mqtt://broker/line4"
        command = ["logger", "-t", "camera"]
        [cameras.roof]
        source = "rtsp://user:password@10.0.0.7/1"
        region = [0.25, 0, 0.5, 1]
        max_fps = 10
        smoothing = 5
        [cameras.bench]
        source = "/dev/video0"
        loop = true
        """,
    )
    settings = store.settings()
    assert settings.announce == AnnounceSettings(hold_s=2.0, mqtt="mqtt://broker/line4", command=("logger", "-t", "camera"))
    assert list(settings.cameras) == ["roof", "bench"]
    assert settings.cameras["bench"] == CameraSettings(source="/dev/video0", loop=True)
    assert settings.cameras["roof"] == CameraSettings(
        source="rtsp://user:password@10.0.0.7/1", region=(0.25, 0.0, 0.5, 1.0), max_fps=10.0, smoothing=5
    )


def test_every_key_is_a_row_of_the_page() -> None:
    """docs/formats.md names each key with its table, and nothing else."""
    page = (Path(__file__).parents[2] / "docs" / "formats.md").read_text(encoding="utf-8")
    page = page[page.index("**`settings.toml`**") : page.index("**`state.json`**")]
    rows = {(table.removesuffix(".NAME"), key) for table, key in re.findall(r"^\| `\[([a-z.A-Z]+)\]` \| `(\w+)` \|", page, re.MULTILINE)}
    assert rows == {(table, key) for table, keys in RULES.items() for key in keys}


def test_trusted_keys_survive_their_file(store: Store) -> None:
    """What is written is read again."""
    keys = (f"ed25519:{'0' * 64}", f"ed25519:{'f' * 64}")
    write(store, settings_text(Settings(bundles=BundleSettings(trusted_keys=keys))))
    assert store.settings().bundles.trusted_keys == keys
