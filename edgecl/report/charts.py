"""Curves as inline SVG and the colour of a cell: small, sharp at any size, without a script."""

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 340, 170  # of the view box; the page scales it
LEFT, RIGHT, TOP, BOTTOM = 40, 14, 14, 26


@dataclass(frozen=True)
class Point:
    """One value 0..1 over a name on the x axis, with the ends of its interval."""

    name: str
    value: float
    low: float
    high: float
    marked: bool = False


def curve(points: Sequence[Point], *, title: str) -> str:
    """An SVG of `points` at equal distances from left to right, each with its interval; names must be plain numbers or words.

    The y axis is cut below the lowest interval, at a multiple of 10 %.
    """
    floor = min(int(min(point.low for point in points) * 10) / 10, 0.9)

    def x(index: int) -> float:
        return LEFT + (index + 0.5) * (WIDTH - LEFT - RIGHT) / len(points)

    def y(value: float) -> float:
        return TOP + (1 - value) / (1 - floor) * (HEIGHT - TOP - BOTTOM)

    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}">']
    for value in (floor, (floor + 1) / 2, 1.0):
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>')
        parts.append(f'<text x="{LEFT - 5}" y="{y(value) + 4:.1f}" text-anchor="end">{100 * value:.0f} %</text>')
    parts.append(f'<polyline class="curve" points="{" ".join(f"{x(i):.1f},{y(p.value):.1f}" for i, p in enumerate(points))}"/>')
    for i, point in enumerate(points):
        parts.append(f'<line class="reach" x1="{x(i):.1f}" x2="{x(i):.1f}" y1="{y(point.low):.1f}" y2="{y(point.high):.1f}"/>')
        kind, radius = ("dot marked", 6) if point.marked else ("dot", 4)
        parts.append(f'<circle class="{kind}" cx="{x(i):.1f}" cy="{y(point.value):.1f}" r="{radius}"/>')
        parts.append(f'<text x="{x(i):.1f}" y="{HEIGHT - 8}" text-anchor="middle">{point.name}</text>')
    return "".join([*parts, "</svg>"])


def cell_colour(accuracy: float) -> str:
    """From red at 50 % and below over yellow to green at 100 %, light enough for dark text."""
    part = min(1.0, max(0.0, (accuracy - 0.5) / 0.5))
    return f"hsl({8 + 142 * part:.0f} {70 - 20 * part:.0f}% {72 + 6 * part:.0f}%)"
