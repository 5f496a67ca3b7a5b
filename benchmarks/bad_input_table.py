"""The table of bad inputs: what was handed in, the exit code, and the message. From the rows that the tests use.

python benchmarks/bad_input_table.py
"""

import csv
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.cli.bad.trying import ROWS, attempt  # noqa: E402  the tests are not installed, so the path comes first
from tests.cli.workplace import copied, template  # noqa: E402


def main() -> int:
    """Try every row, print the table, write it to results/bad_inputs.csv; 1 when a row does not end as promised."""
    wrong = 0
    with (
        tempfile.TemporaryDirectory() as base,
        (ROOT / "benchmarks/results/bad_inputs.csv").open("w", newline="", encoding="utf-8") as file,
    ):
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["input", "command", "exit code", "message", "changed files"])
        made = template(Path(base) / "made")
        print("| input | command | exit code | message |\n|---|---|---|---|")
        for number, row in enumerate(ROWS):
            place = Path(base) / str(number)
            outcome = attempt(row, copied(made, place))
            message = outcome.message.splitlines()[-1].replace(f"{place}/", "")
            table.writerow([row.name, f"edgecl {row.command}", outcome.code, message, len(outcome.changed)])
            print(f"| {row.name} | `edgecl {row.command}` | {outcome.code} | {message.replace('|', '/')} |")
            wrong += outcome.code != row.code or bool(outcome.changed)
    print(f"\n{len(ROWS)} bad inputs, {wrong} of them not as promised")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
