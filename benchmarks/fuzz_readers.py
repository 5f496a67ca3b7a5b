"""Attacks the readers of bundles, manifests, safetensors and pictures, guided by coverage; prints findings and the branches reached.

    pip install 'edgecl[bench]'
    python benchmarks/fuzz_readers.py                       # ten minutes of CPU for each, one process each; writes results/fuzz.csv
    python benchmarks/fuzz_readers.py --cpu-seconds 20      # a look; writes nothing
    python benchmarks/fuzz_readers.py --work DIR            # a run that was stopped goes on in DIR
    python benchmarks/fuzz_readers.py --work DIR --report   # writes the table of what was reached so far

libFuzzer through atheris begins with the valid files of tests/fuzzing/readers.py and bends them there, checksums mended. A finding is an
exception that the reader does not promise, an input that takes more than ten seconds of CPU, or a process above 1 GiB. At the end the files that
libFuzzer kept are read once more under coverage.py, which counts the branches of the reading functions.
"""

import argparse
import csv
import json
import os
import platform
import random
import resource
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "export")]
SAVE_EVERY_S = 5.0  # of CPU time
HANG_S = 10.0  # of CPU time for one input
TIMEOUT_S = 3600  # of wall time, after which libFuzzer gives an input up: a busy machine may need long for little
RSS_LIMIT_MIB, LARGEST_BYTES = 1024, 65536
FIELDS = [
    "reader",
    "cpu seconds",
    "inputs",
    "accepted",
    "crashes",
    "hangs",
    "peak MiB",
    "slowest s",
    "branches",
    "branches reached",
    "machine",
]


def attack(name: str, cpu_seconds: float, corpus: Path, stats: Path) -> None:
    """Fuzz one reader in this process until its CPU time, that of stopped runs included, is over; never returns."""
    import atheris

    with atheris.instrument_imports(include=["edgecl"]):
        from tests.fuzzing.bending import bent_bytes
        from tests.fuzzing.readers import READERS, try_one
    warnings.simplefilter("ignore")
    reader = next(reader for reader in READERS if reader.name == name)
    for number, seed in enumerate(reader.seeds()):
        (corpus / f"seed-{number}").write_bytes(seed)
    figures: dict[str, Any] = {"inputs": 0, "accepted": 0, "crashes": {}, "hangs": 0, "slowest s": 0.0, "cpu seconds": 0.0, "peak MiB": 0}
    figures |= json.loads(stats.read_text()) if stats.exists() else {}
    before_s, written_s = figures["cpu seconds"], 0.0

    def raw(data: bytes, rng: random.Random) -> bytes:
        if rng.random() < 0.5:
            return bent_bytes(data, rng)
        return bytes(atheris.Mutate(data, min(LARGEST_BYTES, 2 * len(data) + 64)))

    def mutate(data: bytes, max_size: int, seed: int) -> bytes:
        return reader.bend(data, random.Random(seed), raw)[:max_size]

    def one(data: bytes) -> None:
        began = time.process_time()
        try:
            figures["accepted"] += try_one(reader, data)
        except Exception as error:  # noqa: BLE001  whatever it is, it is a finding
            place = str(traceback.extract_tb(error.__traceback__)[-1])
            if place not in figures["crashes"]:
                figures["crashes"][place] = "".join(traceback.format_exception(error))
                stats.with_name(f"crash-{name}-{len(figures['crashes'])}").write_bytes(data)
        now = time.process_time()
        figures["inputs"] += 1
        figures["slowest s"] = max(figures["slowest s"], now - began)
        if now - began > HANG_S:
            figures["hangs"] += 1
            stats.with_name(f"hang-{name}-{figures['hangs']}").write_bytes(data)
        over = before_s + now > cpu_seconds
        nonlocal written_s
        if over or now > written_s + SAVE_EVERY_S:
            written_s = now
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
            figures.update({"cpu seconds": round(before_s + now, 1), "peak MiB": max(figures["peak MiB"], peak)})
            stats.with_suffix(".new").write_text(json.dumps(figures))
            stats.with_suffix(".new").replace(stats)
        if over:
            os._exit(0)

    options = [f"-timeout={TIMEOUT_S}", f"-rss_limit_mb={RSS_LIMIT_MIB}", f"-max_len={LARGEST_BYTES}", "-len_control=0"]
    atheris.Setup([sys.argv[0], str(corpus), *options, f"-artifact_prefix={stats.parent}/found-{name}-"], one, custom_mutator=mutate)
    atheris.Fuzz()


def branches(name: str, corpus: Path) -> dict[str, int]:
    """Read every kept file once more, and count the branches of the reader's functions: all, and those that were taken."""
    import coverage

    measured = coverage.Coverage(branch=True, source=[str(ROOT / "edgecl")], data_file=None)
    measured.start()
    from tests.fuzzing.readers import READERS, try_one

    warnings.simplefilter("ignore")
    reader = next(reader for reader in READERS if reader.name == name)
    for path in sorted(corpus.iterdir()):
        try_one(reader, path.read_bytes())
    measured.stop()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "coverage.json"
        measured.json_report(outfile=str(out), include=[str(ROOT / path) for path in reader.code])
        found = json.loads(out.read_text())["files"]
    total = {"branches": 0, "branches reached": 0}
    for path, data in found.items():
        wanted = reader.code[os.path.relpath(os.path.abspath(path), ROOT)]
        for function, region in data["functions"].items():
            if not wanted or function in wanted:
                total["branches"] += region["summary"]["num_branches"]
                total["branches reached"] += region["summary"]["covered_branches"]
    return total


def run(arguments: argparse.Namespace) -> int:
    """One process for each reader, then the table."""
    from tests.fuzzing.readers import READERS

    work = Path(arguments.work or tempfile.mkdtemp(prefix="fuzz-"))
    children = {}
    for reader in READERS:
        (work / reader.name).mkdir(parents=True, exist_ok=True)
        if arguments.report:
            continue
        command = [sys.executable, __file__, "--attack", reader.name, "--work", str(work), "--cpu-seconds", str(arguments.cpu_seconds)]
        children[reader.name] = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=(work / f"{reader.name}.log").open("w"))
    rows = []
    for name in [reader.name for reader in READERS]:
        if name in children:
            children[name].wait()
        stats = work / f"{name}.json"
        figures = json.loads(stats.read_text())
        found = [path.name for path in work.glob(f"found-{name}-*")]  # by libFuzzer: crash-, timeout-, oom-
        counted = subprocess.run(
            [sys.executable, __file__, "--count", name, "--work", str(work)], stdout=subprocess.PIPE, text=True, check=True
        )
        row = {**figures, **json.loads(counted.stdout), "reader": name}
        row["crashes"] = len(figures["crashes"]) + sum("-crash-" in path for path in found)
        row["hangs"] = figures["hangs"] + sum("-timeout-" in path or "-oom-" in path for path in found)
        row["slowest s"] = round(row.get("slowest s", float("nan")), 2)
        row["machine"] = f"{platform.machine()}, Python {platform.python_version()}"
        rows.append(row)
        for text in figures["crashes"].values():
            print(f"--- {name}\n{text}")
        print(", ".join(f"{field} {row.get(field)}" for field in FIELDS), flush=True)
    print(f"corpora, logs and findings: {work}")
    if arguments.report or arguments.cpu_seconds >= 600:
        with (ROOT / "benchmarks/results/fuzz.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, FIELDS, lineterminator="\n", extrasaction="ignore")
            writer.writeheader()
            writer.writerows(rows)
    return int(any(row["crashes"] or row["hangs"] for row in rows))


def main() -> int:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cpu-seconds", type=float, default=600)
    parser.add_argument("--work", help="folder for corpora and findings; without it a new one")
    parser.add_argument("--report", action="store_true", help="count and write what DIR holds so far, attack nothing")
    parser.add_argument("--attack", help=argparse.SUPPRESS)
    parser.add_argument("--count", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.attack:
        work = Path(arguments.work)
        attack(arguments.attack, arguments.cpu_seconds, work / arguments.attack, work / f"{arguments.attack}.json")
    if arguments.count:
        print(json.dumps(branches(arguments.count, Path(arguments.work) / arguments.count)))
        return 0
    return run(arguments)


if __name__ == "__main__":
    sys.exit(main())
