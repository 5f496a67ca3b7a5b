"""Numbers, words and times on the command line. Their complaints hold the value, which typer's own do not in every release."""

import math
import re
from collections.abc import Callable
from datetime import time

import typer


def whole(low: int) -> Callable[[str], int]:
    """A parser of whole numbers from `low` up."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if value < low:
            raise typer.BadParameter(f"{str(text)!r} is not a whole number from {low} up.")
        return value

    return parse


def decimal(low: float, high: float = math.inf) -> Callable[[str], float]:
    """A parser of numbers from `low` to `high`."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (low <= value <= high and math.isfinite(value)):
            expected = f"from {low:g} up" if math.isinf(high) else f"from {low:g} to {high:g}"
            raise typer.BadParameter(f"{str(text)!r} is not a number {expected}.")
        return value

    return parse


def clock_time(text: str) -> time:
    """A parser of times of the day, such as 02:00."""
    found = re.fullmatch(r"(\d{1,2}):(\d{2})", text, re.ASCII)
    if found is None or int(found[1]) > 23 or int(found[2]) > 59:
        raise typer.BadParameter(f"{text!r} is not a time of the day such as 02:00.")
    return time(int(found[1]), int(found[2]))


def one_of(*words: str) -> Callable[[str], str]:
    """A parser of one of a few words."""

    def parse(text: str) -> str:
        if text not in words:
            raise typer.BadParameter(f"{str(text)!r} is not one of: {', '.join(words)}.")
        return text

    return parse
