"""How long `edgecl --help` takes beside the bare start of typer and rich: medians of alternating runs, and their ratio.

python benchmarks/startup.py [RUNS]
"""

import csv
import statistics
import subprocess
import sys
import time
from pathlib import Path

COMMANDS = {
    "import typer, rich": [sys.executable, "-c", "import typer, rich"],
    "edgecl --help": [str(Path(sys.executable).with_name("edgecl")), "--help"],
}
LIMIT = 2.0  # times the bare start


def seconds(command: list[str]) -> float:
    """One run from start to end."""
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main(runs: int) -> int:
    """Print the medians and write them to results/startup.csv; 1 when the ratio is above the limit."""
    if not Path(COMMANDS["edgecl --help"][0]).exists():
        COMMANDS["edgecl --help"] = [sys.executable, "-m", "edgecl", "--help"]  # not installed, only on the path
    for command in COMMANDS.values():
        seconds(command)  # compiles and fills the disk cache
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(runs):
        for name, command in COMMANDS.items():
            times[name].append(seconds(command))
    medians = {name: statistics.median(values) for name, values in times.items()}
    bare, ours = medians.values()
    with (Path(__file__).parent / "results" / "startup.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["command", "runs", "median_ms", "min_ms", "max_ms"])
        for name, values in times.items():
            rows.writerow([name, runs, *(f"{1000 * value:.1f}" for value in (medians[name], min(values), max(values)))])
            print(f"{name:20} {1000 * medians[name]:7.1f} ms")
    print(f"ratio {ours / bare:.2f} (limit {LIMIT})")
    return int(ours / bare > LIMIT)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 20))
