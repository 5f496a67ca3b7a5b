"""Looking for what is wrong in a store, without changing anything."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from edgecl.errors import EdgeclError
from edgecl.layout import deployment_shapes, tensor_offsets
from edgecl.manifest import Manifest
from edgecl.store.checkpoints import CHECKPOINT_FILE, read_checkpoint
from edgecl.store.checkpoints import REMEDY as CHECKPOINT_REMEDY
from edgecl.store.content import adapter_folder, load_adapter, picture_path
from edgecl.store.creating import BASE_FILE, FOLDERS
from edgecl.store.exports import check_exports
from edgecl.store.facts import FACTS_FILE
from edgecl.store.finding import RESTORE, Finding, attempt, check_file, check_spelling
from edgecl.store.inbox import INBOX
from edgecl.store.names import CURRENT, GOOD, is_hash, version_folder, version_number
from edgecl.store.pointers import read_pointer
from edgecl.store.reading import JSON_LIMIT, parse_json, read_bytes
from edgecl.store.reports import REPORTS, lost_reports
from edgecl.store.settings import SETTINGS_FILE
from edgecl.store.state import HAND_WRITTEN, STATE_FILE
from edgecl.store.store import Store
from edgecl.store.versions import MANIFEST_FILE, MEMORY_FILE, RUN_FILE, WEIGHTS_FILE

UNNEEDED = "Delete it: nothing depends on it."
LEAST_STATE = f'Its least content is {{"format": "{HAND_WRITTEN}"}}.'


def verify(store: Store, *, deep: bool = False, progress: Callable[[int, int], None] | None = None) -> list[Finding]:
    """Check names, sizes, manifests and pointers; with `deep` also every byte. Dropped weights are no finding.

    `progress` is called with (versions checked, versions) as it goes. Only a store that cannot even be listed raises.
    """
    findings = [*_pointers(store), *_top(store, deep)]
    numbers = store.numbers()
    pictures: set[str] = set()
    adapters: set[str] = set()
    for done, number in enumerate(numbers):
        if progress is not None:
            progress(done, len(numbers))
        findings += _version(store, number, deep, pictures, adapters)
    findings += [*_shared(store, deep, pictures, adapters), *check_exports(store.root, deep=deep), *_engines(store, deep)]
    if progress is not None:
        progress(len(numbers), len(numbers))
    first: dict[str, Finding] = {}
    for finding in findings:
        first.setdefault(finding.path, finding)
    return list(first.values())


def _top(store: Store, deep: bool) -> Iterator[Finding]:
    """The store's own files, strangers under versions/, leftovers in tmp/."""
    yield from check_file(store.root, store.root / BASE_FILE, store.facts.base.sha256, store.facts.base.bytes, deep, RESTORE)
    if deep:
        yield from check_spelling(store.root, store.root / FACTS_FILE, RESTORE)
    yield from attempt(SETTINGS_FILE, store.settings, "Correct it; an empty file means every default.")
    yield from attempt(STATE_FILE, store.state, LEAST_STATE)
    if deep and not _is_hand_written(store):
        yield from check_spelling(store.root, store.root / STATE_FILE, LEAST_STATE)
    yield from attempt(CHECKPOINT_FILE, lambda: read_checkpoint(store.root), CHECKPOINT_REMEDY, damage=False)
    for name in FOLDERS:
        if not (store.root / name).is_dir():
            yield Finding(path=name, problem="the folder is missing", remedy=f"If it is not in a copy of the store: mkdir {name}")
    numbers = store.numbers()
    for entry in sorted((store.root / "versions").iterdir()):
        if version_number(entry.name) not in numbers:
            problem = f"no version, for it has no {MANIFEST_FILE} or no version's name"
            yield Finding(path=f"versions/{entry.name}", problem=problem, remedy=f"{RESTORE} Or delete it: nothing uses it.")
    for path in lost_reports(store.root, numbers):
        problem = "a report of a version that is gone"
        yield Finding(path=f"{REPORTS}/{path.name}", problem=problem, remedy="Delete it, or run: edgecl gc", damage=False)
    leftovers = sorted((store.root / "tmp").iterdir()) if (store.root / "tmp").is_dir() else []
    for entry in leftovers:
        yield Finding(
            path=f"tmp/{entry.name}",
            problem="left by a command that was interrupted, or being written now",
            remedy="The next learn removes it, and so does: edgecl gc",
            damage=False,
        )


def _is_hand_written(store: Store) -> bool:
    """Whether a person put the least content there, in whatever spelling."""
    try:
        return parse_json(read_bytes(store.root / STATE_FILE, limit=JSON_LIMIT), STATE_FILE).get("format") == HAND_WRITTEN
    except EdgeclError:
        return False


def _pointers(store: Store) -> Iterator[Finding]:
    numbers = store.numbers()
    remedy = "Choose a version with: edgecl promote NUMBER"
    for name in (CURRENT, GOOD):
        try:
            number = read_pointer(store.root, name)
        except EdgeclError as error:
            yield Finding(path=name, problem=str(error), remedy=f"Remove it. {remedy}")
            continue
        if number is None and name == CURRENT:
            yield Finding(path=name, problem="no version is current", remedy=remedy)
        elif number is not None and number not in numbers:
            yield Finding(path=name, problem=f"points at version {number}, which is not there", remedy=f"Remove it. {remedy}")
        elif number is not None and not (store.folder(number) / WEIGHTS_FILE).is_file():
            path = f"versions/{version_folder(number)}/{WEIGHTS_FILE}"
            yield Finding(path=path, problem=f"is missing, and {name} needs it", remedy=f"Build it again with: edgecl promote {number}")


def _version(store: Store, number: int, deep: bool, pictures: set[str], adapters: set[str]) -> Iterator[Finding]:
    folder = store.folder(number)
    where = f"versions/{version_folder(number)}"
    another = f"{RESTORE} Or serve another version and delete {where}."
    try:
        manifest = store.manifest(number)
    except EdgeclError as error:
        yield Finding(path=f"{where}/{MANIFEST_FILE}", problem=str(error), remedy=another)
        return
    yield from _listed(store, manifest, folder, deep)
    for entry in sorted(folder.iterdir()):
        if entry.name not in {*manifest.files, MANIFEST_FILE, RUN_FILE}:
            yield Finding(path=f"{where}/{entry.name}", problem="is not part of the version", remedy="Delete it.", damage=False)
    yield from attempt(f"{where}/{RUN_FILE}", lambda: store.run_info(number), UNNEEDED)
    if deep:
        yield from check_spelling(store.root, folder / MANIFEST_FILE, another)
        yield from check_spelling(store.root, folder / RUN_FILE, UNNEEDED)
    yield from attempt(f"{where}/head.safetensors", lambda: store.head(number), another)
    adapters |= {step.adapter for step in manifest.recipe.steps}
    try:
        pictures |= {kept.hash for kept in store.memory(number)}
    except EdgeclError as error:
        yield Finding(path=f"{where}/{MEMORY_FILE}", problem=str(error), remedy=another)


def _listed(store: Store, manifest: Manifest, folder: Path, deep: bool) -> Iterator[Finding]:
    where = f"versions/{folder.name}"
    for name, entry in manifest.files.items():
        remedy = f"{RESTORE} Or serve another version and delete {where}."
        if name == WEIGHTS_FILE:
            remedy = f"Delete it; it is built again by: edgecl promote {manifest.number}"
            if not (folder / name).exists():
                continue  # dropped by gc; _pointers knows who needs it
        yield from check_file(store.root, folder / name, entry.sha256, entry.bytes, deep, remedy)
    shapes = deployment_shapes(store.facts.architecture, manifest.capacity)
    end = max(offset + length for offset, length in tensor_offsets(shapes, "float32").values())
    listed = manifest.files.get(WEIGHTS_FILE)
    if listed is None or listed.bytes != end:
        problem = f"lists weights of {listed.bytes if listed else 'no'} bytes, but the architecture has {end}"
        yield Finding(path=f"{where}/{MANIFEST_FILE}", problem=problem, remedy=RESTORE)


def _shared(store: Store, deep: bool, pictures: set[str], adapters: set[str]) -> Iterator[Finding]:
    """Adapters and pictures that versions name; with `deep` also the bytes of those that no version names."""
    remedy = f"{RESTORE} Without it, versions that use it can still be served, but not rebuilt or learned from."
    for hash in sorted(adapters):
        if not is_hash(hash) or not adapter_folder(store.root, hash).is_dir():
            yield Finding(path=f"adapters/{hash}", problem="is missing", remedy=remedy)
        elif deep:
            yield from attempt(f"adapters/{hash}", lambda hash=hash: load_adapter(store.root, hash), remedy)  # type: ignore[misc]
    for hash in sorted(pictures):
        if not is_hash(hash):
            yield Finding(path=f"memory/{hash}.jpg", problem="is not named by a sha256", remedy=RESTORE)
        else:
            yield from check_file(store.root, picture_path(store.root, hash), hash, None, deep, remedy)
    if deep:
        yield from _unnamed(store, pictures, adapters)


def _unnamed(store: Store, pictures: set[str], adapters: set[str]) -> Iterator[Finding]:
    """Left by a learn that did not finish: the next one may use it, and gc removes it. And what waits in the inbox."""
    remedy = "No version uses it. Remove it with: edgecl gc"
    for path in sorted((store.root / "adapters").glob("*")):
        if is_hash(path.name) and path.name not in adapters:
            found = attempt(f"adapters/{path.name}", lambda path=path: load_adapter(store.root, path.name), remedy, damage=False)  # type: ignore[misc]
            yield from found
    for path in sorted((store.root / INBOX).glob("*/*/*.jpg")):
        if is_hash(path.stem):
            found = check_file(store.root, path, path.stem, None, True, "Delete it, and take the picture again.")
            yield from (replace(finding, damage=False) for finding in found)
    for path in sorted((store.root / "memory").glob("*.jpg")):
        if is_hash(path.stem) and path.stem not in pictures:
            yield from (replace(finding, damage=False) for finding in check_file(store.root, path, path.stem, None, True, remedy))


def _engines(store: Store, deep: bool) -> Iterator[Finding]:
    """Plans against the JSON beside them. None of them is damage: an engine can be built again, and is not served otherwise."""
    remedy = "Build it again with: edgecl export --trt"
    for path in sorted((store.root / "engines").glob("*.json")):
        where = str(path.relative_to(store.root))
        try:
            fields = parse_json(read_bytes(path, limit=JSON_LIMIT), where)
            sha256, size = str(fields["sha256"]), int(fields["bytes"])
        except (EdgeclError, KeyError, TypeError, ValueError) as error:
            yield Finding(path=where, problem=f"does not describe an engine ({error})", remedy=f"Delete it. {remedy}", damage=False)
            continue
        for finding in check_file(store.root, path.with_suffix(".plan"), sha256, size, deep, remedy):
            yield replace(finding, damage=False)
