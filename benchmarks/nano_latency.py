"""How long the engines of the built-in backbone and of ViT-Tiny take for one picture in ONNX Runtime on this CPU, in turns.

    python benchmarks/nano_latency.py [--runs 200]

One process, fp32, opset 18, capacity 128, one picture at a time; first with one thread, then with as many as ONNX Runtime takes. The weights are random, for
they change no time. Prints the medians and the ratio of the paired runs, and writes results/nano_latency.csv.
"""

import argparse
import csv
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np

from edgecl.architecture import Architecture
from edgecl.backbone import architecture_of
from edgecl.backbones import NANO
from edgecl.runtime.ort import OrtPredictor
from tests.export.models import random_head, random_state, write

RESULTS = Path(__file__).parent / "results" / "nano_latency.csv"
TARGET = 5.0  # times faster than ViT-Tiny
WARM_UP = 10  # runs of each that are not counted


def engine(architecture: Architecture, place: Path, threads: int) -> OrtPredictor:
    """A loaded engine with random weights."""
    head = random_head(architecture.width, 128)
    predictor = OrtPredictor(threads=threads)
    predictor.load(write(place, architecture, random_state(architecture), head, 18, "fp32"))
    return predictor


def in_turns(engines: dict[str, OrtPredictor], sizes: dict[str, int], runs: int) -> dict[str, list[float]]:
    """Milliseconds of each run of each engine."""
    pictures = {name: np.random.default_rng(0).integers(0, 256, (1, size, size, 3), dtype=np.uint8) for name, size in sizes.items()}
    times: dict[str, list[float]] = {name: [] for name in engines}
    for run in range(WARM_UP + runs):
        for name, predictor in engines.items():
            start = time.perf_counter()
            predictor.infer(pictures[name])
            if run >= WARM_UP:
                times[name].append(1000 * (time.perf_counter() - start))
    return times


def main(runs: int) -> None:
    """Measure, print, write."""
    architectures = {a.backbone: a for a in (NANO, architecture_of("vit_tiny_patch16_224"))}
    rows = []
    for threads in (1, 0):
        with tempfile.TemporaryDirectory() as place:
            engines = {name: engine(a, Path(place) / name, threads) for name, a in architectures.items()}
            times = in_turns(engines, {name: a.image_size for name, a in architectures.items()}, runs)
        nano, tiny = times.values()
        ratio = statistics.median(t / n for n, t in zip(nano, tiny, strict=True))
        called = "1 thread" if threads else "default threads"
        print(
            f"{called}: {NANO.backbone} {statistics.median(nano):.2f} ms, ViT-Tiny {statistics.median(tiny):.2f} ms (medians of {runs} in turns)"
        )
        print(f"  ViT-Tiny takes {ratio:.1f} times as long (target: at least {TARGET:.0f})", flush=True)
        rows += [
            (called, name, runs, f"{statistics.median(t):.3f}", f"{min(t):.3f}", f"{ratio:.2f}", platform.machine())
            for name, t in times.items()
        ]
    with RESULTS.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([("threads", "backbone", "runs", "median_ms", "min_ms", "ratio", "machine"), *rows])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=200)
    main(parser.parse_args().runs)
