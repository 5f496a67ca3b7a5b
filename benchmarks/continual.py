"""Continual learners side by side: one backbone, one set of pictures, one table.

    python benchmarks/continual.py --choose ridge slda        # every configuration on val, order 0, tasks 1 to 3; to be committed
    python benchmarks/continual.py --run ridge slda           # the best one, once, on test, in the orders that the row is measured in
    python benchmarks/continual.py                            # the table of what is there

Pictures are the Grocery photos (81 classes, 9 tasks of 9, three fixed orders), the backbone is ViT-Tiny with its ImageNet weights. All methods
train on `train`, choose on `val` and are asked once about `test`. A method that trains the backbone trains its upper six blocks, as edgecl does.
Every finished run is a row of `results/continual.csv`, written at once, and no finished run is repeated. `--run` refuses a row
whose choices are not committed. edgecl's own rows are read from `results/grocery.csv`. Peers' libraries come with the extra `bench`.
"""

import argparse
from pathlib import Path

from continual import rows
from continual.registry import METHODS
from continual.running import choose, measure, perform_here
from continual.table import print_table


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--choose", nargs="+", choices=METHODS, default=[], metavar="ROW")
    parser.add_argument("--run", nargs="+", choices=METHODS, default=[], metavar="ROW")
    parser.add_argument("--order", type=int, nargs="+", help="only these orders", choices=[0, 1, 2])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=rows.HERE / "work" / "continual", help="where tokens and stores lie")
    parser.add_argument("--one", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        name, split, order, seed, tasks, *numbers = arguments.one
        place = {"split": split, "order": int(order), "seed": int(seed), "tasks": int(tasks)}
        perform_here(METHODS[name], [int(number) for number in numbers], arguments.work, **place)
        return
    for name in arguments.choose:
        choose(METHODS[name], arguments.work, seed=arguments.seed)
    for name in arguments.run:
        orders = [order for order in METHODS[name].orders if order in (arguments.order or METHODS[name].orders)]
        measure(METHODS[name], orders, arguments.work, seed=arguments.seed)
    if not arguments.choose and not arguments.run:
        print_table(METHODS, seed=arguments.seed)


if __name__ == "__main__":
    main()
