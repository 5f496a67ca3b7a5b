"""Stores whose files were changed, lost, or are held by somebody else."""

from tests.cli.bad.row import Bad
from tests.cli.workplace import cut, file, flipped, link, locked, removed, replaced

LEARN = "learn --task more"

ROWS = (
    Bad("no store", "log --store nowhere", 4, "no store at nowhere | no store | edgecl init nowhere --backbone"),
    Bad("a file instead of a store", "log --store a", 4, "no store at a | no store | edgecl init a --backbone", file("a", "x")),
    Bad("facts that are not JSON", "log", 6, "model/edgecl.json | is not JSON | edgecl verify", cut("model/edgecl.json")),
    Bad(
        "a store of a newer edgecl",
        "log",
        6,
        "'edgecl.store/3' | reads up to 2 | pip install -U edgecl",
        replaced("model/edgecl.json", "edgecl.store/2", "edgecl.store/3"),
    ),
    Bad(
        "settings that are not TOML", "status", 4, "settings.toml | is not TOML | Correct the file", file("model/settings.toml", "[memory")
    ),
    Bad(
        "a setting that does not exist",
        "status",
        4,
        "per_clas is unknown | per_class, budget_mib | Remove it or correct its name",
        file("model/settings.toml", "[memory]\nper_clas = 10\n"),
    ),
    Bad(
        "a setting out of range",
        "status",
        4,
        "max_drop = 3 | a number from 0 to 1 | Correct the value",
        file("model/settings.toml", "[gate]\nmax_drop = 3\n"),
    ),
    Bad(
        "a state that is not JSON", "log", 6, 'model/state.json | is not JSON | {"format": "edgecl.state/1"}', file("model/state.json", "{")
    ),
    Bad(
        "current pointing elsewhere",
        "status",
        6,
        "'/etc' | expected versions/<number> | edgecl promote NUMBER",
        link("model/current", "/etc"),
    ),
    Bad(
        "a manifest that was edited",
        "show",
        6,
        "version 1 was changed | its hash does not match its content | edgecl verify",
        replaced("model/versions/000001/manifest.json", '"red"', '"rot"'),
    ),
    Bad(
        "a manifest of a newer edgecl",
        "show",
        6,
        "'edgecl.version/2' | reads up to 1 | pip install -U edgecl",
        replaced("model/versions/000001/manifest.json", "edgecl.version/1", "edgecl.version/2"),
    ),
    Bad(
        "a graph that is cut short",
        "run --source more",
        6,
        "000001/model.onnx | ONNX Runtime cannot open | edgecl verify --deep",
        cut("model/versions/000001/model.onnx"),
    ),
    Bad(
        "a graph that is gone",
        "run --source more",
        6,
        "has no model.onnx | a version that can be run has model.onnx | edgecl verify --deep",
        removed("model/versions/000001/model.onnx"),
    ),
    Bad(
        "labels that were edited",
        "promote 1",
        6,
        "000001/labels.txt was changed | is not served | edgecl verify --deep",
        file("model/versions/000001/labels.txt", "x\n"),
    ),
    Bad(
        "a backbone that is cut short",
        LEARN,
        6,
        "model/base.safetensors | is not a safetensors file | edgecl verify --deep",
        cut("model/base.safetensors"),
    ),
    Bad(
        "an adapter with a flipped bit",
        LEARN,
        6,
        "the adapter | was changed | from a copy of the store",
        flipped("model/adapters/*/adapter_model.safetensors"),
    ),
    Bad(
        "a kept picture with a flipped bit",
        LEARN,
        6,
        "the kept picture | was changed | from a copy of the store",
        flipped("model/memory/*.jpg"),
    ),
    Bad("a kept picture that is gone", LEARN, 6, ".jpg is missing | memory/ | edgecl verify", removed("model/memory/*.jpg")),
    Bad(
        "a head that is cut short",
        "rename red rot",
        6,
        "000001/head.safetensors | was changed | copy of the store",
        cut("model/versions/000001/head.safetensors"),
    ),
    Bad(
        "a flipped bit that only --deep sees",
        "verify --deep",
        6,
        "base.safetensors | is damaged | each finding names its remedy",
        flipped("model/base.safetensors"),
    ),
    Bad(
        "a store that another process is changing",
        LEARN,
        5,
        "the store 'model' | is being changed by another process | Try again",
        locked("model/learn.lock"),
    ),
)
