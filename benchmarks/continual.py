"""Continual learners side by side: one backbone, one set of pictures, one table.

    python benchmarks/continual.py --choose ridge slda        # every configuration on val, order 0, tasks 1 to 3; to be committed
    python benchmarks/continual.py --run ridge slda           # the best one, once, on test, in the orders that the row is measured in
    python benchmarks/continual.py                            # the table of what is there
    python benchmarks/continual.py --run edgecl ridge --scenario near    # on another course, with what was chosen on the standard one
    python benchmarks/continual.py --scenario near                       # its table

Pictures are the Grocery photos (81 classes, 9 tasks of 9, three fixed orders), the backbone is ViT-Tiny with its ImageNet weights. All methods
train on `train`, choose on `val` and are asked once about `test`. A method that trains the backbone trains its upper six blocks, as edgecl does.
Every finished run is a row of `results/continual.csv`, written at once, and no finished run is repeated. `--run` refuses a row
whose choices are not committed. edgecl's own rows are read from `results/grocery.csv`, but for scenarios: in those it learns by its frozen configuration.
What a scenario is stands in `continual/scenarios.py`. Peers' libraries come with the extra `bench`.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from continual import rows
from continual.registry import EDGECL, IN_SCENARIOS, METHODS
from continual.running import choose, measure, measure_scenario, perform_here
from continual.scenarios import SCENARIOS
from continual.table import print_scenario, print_table

RUNNABLE = {**METHODS, **IN_SCENARIOS}


def main() -> None:
    """Run, print."""
    arguments = parsed()
    if arguments.one:
        name, place, *numbers = arguments.one
        perform_here(RUNNABLE[name], [int(number) for number in numbers], arguments.work, **json.loads(place))
        return
    for name in arguments.choose:
        choose(METHODS[name], arguments.work, seed=arguments.seed)
    for name in arguments.run:
        if arguments.scenario:
            measure_scenario(IN_SCENARIOS[name], arguments.scenario, arguments.work, seed=arguments.seed)
        else:
            orders = [order for order in METHODS[name].orders if order in (arguments.order or METHODS[name].orders)]
            measure(METHODS[name], orders, arguments.work, seed=arguments.seed)
    if arguments.choose or arguments.run:
        return
    if arguments.scenario:
        print_scenario(arguments.scenario, IN_SCENARIOS, seed=arguments.seed, earlier=arguments.earlier)
    else:
        print_table(METHODS, seed=arguments.seed, earlier=arguments.earlier)


def parsed(given: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line; what does not go together is refused."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--choose", nargs="+", choices=METHODS, default=[], metavar="ROW")
    parser.add_argument("--run", nargs="+", choices=RUNNABLE, default=[], metavar="ROW")
    parser.add_argument("--scenario", choices=SCENARIOS, default="", metavar="NAME", help=f"another course: {', '.join(SCENARIOS)}")
    parser.add_argument("--order", type=int, nargs="+", help="only these orders", choices=[0, 1, 2])
    parser.add_argument(
        "--earlier", action="store_true", help="in the table, where a row is not measured, how it was before edgecl changed"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=rows.HERE / "work" / "continual", help="where tokens and stores lie")
    parser.add_argument("--one", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args(given)
    if arguments.scenario:
        if arguments.choose or arguments.order:
            parser.error(
                "a scenario has one order, and its rows have the settings that were chosen without it; leave out --choose and --order"
            )
        if strangers := [name for name in arguments.run if name not in IN_SCENARIOS]:
            parser.error(f"{', '.join(strangers)}: not a row of scenarios; those are {', '.join(IN_SCENARIOS)}")
    elif EDGECL.name in arguments.run:
        parser.error(
            "edgecl's row of the standard course is read from results/grocery.csv; "
            "run benchmarks/grocery.py --split test for it, or add --scenario NAME"
        )
    return arguments


if __name__ == "__main__":
    main()
