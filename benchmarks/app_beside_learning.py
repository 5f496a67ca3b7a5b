"""The app and a learner on the same cores: the app's latency idle and while a task is learned, the learner's time alone and beside the app.

    EDGECL_SHARED=... python benchmarks/app_beside_learning.py [--rounds 3] [--fps 8] [--classes 9] [--pictures 20]

ViT-Tiny with the real weights, Grocery photos. Each round measures in turns: the app alone, the learner alone (nice 19), both together. The app
has one engine thread; the learner takes what torch takes by itself. Prints medians over the rounds, writes results/app_beside_learning.csv,
and ends with 1 when a target is missed.
"""

import argparse
import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

RESULTS = Path(__file__).parent / "results"
LATENCY_TARGET, LEARNING_TARGET = 2.0, 3.0  # times idle p95; times alone
IDLE_S = 30.0
WARM_S = 4.0  # of each run of the app that is not counted
EDGECL = [sys.executable, "-m", "edgecl"]


class RunningApp:
    """`edgecl run` on the drawn camera, in a process of its own."""

    def __init__(self, store: Path, fps: int, lines: Path) -> None:
        self._lines = lines.open("w")
        command = [*EDGECL, "run", "--store", str(store), "--source", f"test://?fps={fps}&size=720", "--threads", "1", "--json"]
        self._process = subprocess.Popen(command, stdout=self._lines, stderr=subprocess.DEVNULL)
        self._path = lines
        while not lines.stat().st_size:
            time.sleep(0.1)
        time.sleep(WARM_S)
        self.from_line = len(lines.read_text().splitlines())

    def stop(self) -> list[float]:
        """Latencies of the answers since it was warm, in milliseconds."""
        self._process.send_signal(signal.SIGTERM)
        self._process.wait()
        self._lines.close()
        return [json.loads(line)["latency_ms"] for line in self._path.read_text().splitlines()[self.from_line :]]


def learn(store: Path, task: Path) -> tuple[float, int]:
    """Seconds of one learn at low priority, start and import of torch included; and its exit code."""
    start = time.monotonic()
    command = ["nice", "-n", "19", *EDGECL, "learn", "--store", str(store), "--task", str(task), "--stage", "--json"]
    code = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode
    return time.monotonic() - start, code


def make_task(grocery: Path, task: Path, classes: int, pictures: int) -> None:
    """Class folders with the first photos of the first classes."""
    folders = sorted({photo.parent for photo in grocery.rglob("*.jpg")}, key=str)
    folders = [folder for folder in folders if len(list(folder.glob("*.jpg"))) >= pictures][:classes]
    for number, folder in enumerate(folders):
        (task / f"{number}-{folder.name}").mkdir(parents=True)
        for photo in sorted(folder.glob("*.jpg"))[:pictures]:
            shutil.copy(photo, task / f"{number}-{folder.name}")


def one_round(folder: Path, fps: int) -> dict[str, Any]:
    """The three measurements, each on a fresh copy of the store."""

    def fresh(name: str) -> Path:
        return Path(shutil.copytree(folder / "model", folder / name / "model", symlinks=True))

    app = RunningApp(fresh("idle"), fps, folder / "idle.jsonl")
    time.sleep(IDLE_S)
    idle = app.stop()
    alone_s, alone_code = learn(fresh("alone"), folder / "task")
    both = fresh("both")
    app = RunningApp(both, fps, folder / "both.jsonl")
    beside_s, beside_code = learn(both, folder / "task")
    busy = app.stop()
    for name in ("idle", "alone", "both"):
        shutil.rmtree(folder / name)
    return {
        "idle_p50_ms": float(np.percentile(idle, 50)),
        "idle_p95_ms": float(np.percentile(idle, 95)),
        "busy_p50_ms": float(np.percentile(busy, 50)),
        "busy_p95_ms": float(np.percentile(busy, 95)),
        "latency_ratio": float(np.percentile(busy, 95) / np.percentile(idle, 95)),
        "alone_s": alone_s,
        "beside_s": beside_s,
        "learning_ratio": beside_s / alone_s,
        "answers_idle": len(idle),
        "answers_busy": len(busy),
        "exit_codes": f"{alone_code} {beside_code}",
    }


def main() -> int:
    """Rounds, medians, targets."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--fps", type=int, default=8)
    parser.add_argument("--classes", type=int, default=9)
    parser.add_argument("--pictures", type=int, default=20)
    arguments = parser.parse_args()
    shared = Path(os.environ.get("EDGECL_SHARED") or Path(__file__).parents[2] / "shared")
    found = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        weights = next((shared / "weights").glob("vit_tiny_patch16_224*.safetensors"))
        init = [*EDGECL, "init", str(folder / "model"), "--backbone", "vit_tiny_patch16_224", "--weights", str(weights)]
        subprocess.run(init, check=True, stdout=subprocess.DEVNULL)
        make_task(shared / "data" / "grocery", folder / "task", arguments.classes, arguments.pictures)
        for number in range(arguments.rounds):
            load = os.getloadavg()[0]
            found.append(
                {**one_round(folder, arguments.fps), "classes": arguments.classes, "pictures": arguments.pictures, "load_before": load}
            )
            print(
                f"round {number + 1} (load {load:.1f} before): "
                + ", ".join(f"{n} {v:.4g}" for n, v in found[-1].items() if isinstance(v, float)),
                flush=True,
            )
    with (RESULTS / "app_beside_learning.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["round", *found[0]])
        for number, row in enumerate(found, 1):
            rows.writerow([number, *(f"{value:.3f}" if isinstance(value, float) else value for value in row.values())])
    latency, learning = (float(np.median([row[name] for row in found])) for name in ("latency_ratio", "learning_ratio"))
    print(f"app p95 while learning: {latency:.2f} times idle, target at most {LATENCY_TARGET}")
    print(f"learning beside the app: {learning:.2f} times alone, target at most {LEARNING_TARGET}")
    return latency > LATENCY_TARGET or learning > LEARNING_TARGET


if __name__ == "__main__":
    sys.exit(main())
