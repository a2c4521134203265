"""The picture of a run: every sample is in it, and its axes hold what they show."""

from pathlib import Path
from xml.etree import ElementTree

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from stress.plot import panels, scale, svg
from stress.report import Report


def test_every_panel_shows_every_sample(scenario, lived):
    report = lived(scenario(accounts=40))
    drawn = ElementTree.fromstring(svg(report))
    lines = drawn.findall("{http://www.w3.org/2000/svg}polyline")
    shown = [line for panel in panels(report) for line in panel.lines]
    assert len(lines) == sum(not line.bars for line in shown)
    bars = drawn.findall("{http://www.w3.org/2000/svg}path[@stroke-width][@fill='none']")
    assert [bar.attrib["d"].count("M") for bar in bars] == [
        sum(value != 0 for value in line.values) for line in shown if line.bars
    ]
    assert {len(line.attrib["points"].split()) for line in lines} == {len(report.samples)}
    texts = {text.text for text in drawn.iter("{http://www.w3.org/2000/svg}text")}
    assert {panel.title for panel in panels(report)} < texts
    assert {"BTC-PERP", "ETH-PERP", "traders", "makers"} < texts


@given(st.floats(-1e9, 1e9, allow_nan=False), st.floats(0, 1e9, allow_nan=False), st.booleans())
def test_an_axis_holds_its_values_in_few_round_steps(low, span, from_zero):
    bottom, top, step = scale(low, low + span, from_zero)
    slack = step / 1e6
    assert bottom <= low + slack
    assert top >= low + span - slack
    if from_zero:
        assert bottom <= 0 <= top
    assert 1 <= round((top - bottom) / step) <= 7
    assert f"{step:.6e}"[0] in "125"


def test_the_picture_in_the_documentation_is_of_this_drawing(scenario, lived):
    """It is of minutes over recorded prices, so only what every run draws alike is compared: change that, and draw it anew."""
    kept = ElementTree.parse(Path(__file__).parents[2] / "docs" / "pictures" / "crash.svg").getroot()
    report = lived(scenario(accounts=40))
    drawn, same = ElementTree.fromstring(svg(report)), [panel.title for panel in panels(report)]
    for picture in (kept, drawn):
        texts = [text for text in picture.iter("{http://www.w3.org/2000/svg}text") if text.text in same]
        assert [text.text for text in texts] == same
    assert kept.attrib == drawn.attrib


def test_one_report_makes_one_picture_also_after_it_was_written_down(scenario, lived):
    report = lived(scenario(accounts=40))
    again = msgspec.json.decode(msgspec.json.encode(report), type=Report)
    assert svg(again) == svg(report)
