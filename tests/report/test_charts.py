"""Curves and colours of the report."""

import re
from xml.etree import ElementTree

from edgecl.report.charts import HEIGHT, WIDTH, Point, cell_colour, curve


def test_a_curve_is_well_formed_and_inside_its_box() -> None:
    """Every number of the SVG lies within the view box, also for values at both ends."""
    points = [Point("1", 0.0, 0.0, 0.2), Point("2", 1.0, 0.8, 1.0, marked=True), Point("3", 0.5, 0.4, 0.6)]
    svg = ElementTree.fromstring(curve(points, title="accuracy"))
    assert svg.get("viewBox") == f"0 0 {WIDTH} {HEIGHT}"
    for element in svg.iter():
        for name, limit in (
            ("x1", WIDTH),
            ("x2", WIDTH),
            ("cx", WIDTH),
            ("x", WIDTH),
            ("y1", HEIGHT),
            ("y2", HEIGHT),
            ("cy", HEIGHT),
            ("y", HEIGHT),
        ):
            assert 0 <= float(element.get(name, "0")) <= limit


def test_higher_values_lie_higher_and_the_marked_one_is_larger() -> None:
    """SVG counts y from the top."""
    dots = re.findall(
        r'class="(dot[ a-z]*)" cx="([\d.]+)" cy="([\d.]+)" r="(\d)"',
        curve([Point("0", 0.7, 0.6, 0.8), Point("1", 0.9, 0.8, 1.0, True)], title=""),
    )
    (plain, x0, y0, r0), (marked, x1, y1, r1) = dots
    assert (plain, marked) == ("dot", "dot marked")
    assert float(x0) < float(x1)
    assert float(y0) > float(y1)
    assert int(r0) < int(r1)


def test_the_axis_begins_below_the_lowest_interval() -> None:
    """At a multiple of 10 %, at most at 90 %."""
    assert ">60 %</text>" in curve([Point("0", 0.9, 0.63, 1.0)], title="")
    assert ">90 %</text>" in curve([Point("0", 1.0, 1.0, 1.0)], title="")


def test_colours_run_from_red_to_green() -> None:
    """Half and less is red, all is green, and the hue grows between."""
    assert cell_colour(0.2) == cell_colour(0.5) == "hsl(8 70% 72%)"
    assert cell_colour(1.0) == "hsl(150 50% 78%)"
    hues = [int(cell_colour(part / 100).removeprefix("hsl(").split()[0]) for part in range(50, 101, 10)]
    assert hues == sorted(set(hues))
