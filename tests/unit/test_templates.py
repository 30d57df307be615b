"""Templates for bodies: what they can say, and what they cannot do."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minoots.contracts import BodyTemplate
from minoots_platform.template_faults import TemplateFault
from minoots_platform.templates import MOST_OUTPUT, check, render

EVENT: dict[str, Any] = {
    "id": "tmr_1_1_0",
    "data": {
        "timer": {"name": "tea", "fire_at": "2026-11-21T09:00:00Z", "labels": {"team": "kitchen"}},
        "payload": {"title": 'He said "now"', "items": [{"n": 1}, {"n": 2}], "none": None},
    },
}
LARGE: dict[str, Any] = {
    "data": {
        "payload": {
            "x": [{"k": f"v{number}"} for number in range(8000)],
            "y": [{"k": f"v{number}"} for number in range(8000)],
            "s": "<" * 200_000,
        }
    }
}


def filled(template: str, event: dict[str, Any] = EVENT, content_type: str = "text/plain") -> str:
    """What a template makes."""
    return render(BodyTemplate(template=template, content_type=content_type), event)


@pytest.mark.parametrize(
    ("template", "made"),
    [
        ("{{ timer.name | upcase }}", "TEA"),
        ("{{ payload.title | json }}", '"He said \\"now\\""'),
        ("{% for one in payload.items %}{{ one.n }};{% endfor %}", "1;2;"),
        ("{% if payload.missing %}yes{% else %}no{% endif %}", "no"),
        ("{{ payload.missing | default: 'x' }}", "x"),
        ("{{ timer.labels.team }}", "kitchen"),
        ("{{ event.id }}", "tmr_1_1_0"),
        ('{{ timer.fire_at | date: "%d.%m. %H:%M", "Europe/Berlin" }}', "21.11. 10:00"),
        ('{{ timer.fire_at | date: "%H:%M" }}', "09:00"),
        ("{{ payload.none | json }}", "null"),
        ("{{ payload.items | map: 'n' | join: '+' }}", "1+2"),
    ],
)
def test_templates_say(template: str, made: str) -> None:
    assert filled(template) == made


def test_a_json_body_has_to_be_json() -> None:
    body = '{"text": {{ payload.title | json }}, "n": {{ payload.items.size }}}'
    assert json.loads(filled(body, content_type="application/json")) == {"text": 'He said "now"', "n": 2}
    for number in ("NaN", "Infinity", "-Infinity"):
        with pytest.raises(TemplateFault, match="is no JSON"):
            filled('{"n": ' + number + "}", content_type="application/json")
    with pytest.raises(TemplateFault, match=r"it makes no JSON: .*write values as"):
        filled('{"text": {{ payload.title }}}', content_type="application/vnd.x+json; charset=utf-8")


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=10))
def test_json_brings_back_what_it_was_given(value: Any) -> None:
    assert json.loads(filled("{{ payload | json }}", {"data": {"payload": value}})) == value


@pytest.mark.parametrize(
    ("template", "fault"),
    [
        ("line\n{{ payload.titel }}", "line 2: payload.titel is undefined"),
        ("{{ payload.titel | json }}", "payload.titel is undefined"),
        ("line\n{{ payload.title", "line 2: {{ is never closed"),
        ("{% if payload %}open", "a {% … %} is never closed"),
        ("{% raw %}{{", "raw is never closed"),
        ("{{" + " " * 100 + "}}", "blanks in a row"),
        ("{{a}}" * 1001, "at most 1000 tags"),
        ("{% for i in (1..9) %}{% endfor %}", "there are no ranges"),
        ("{% if (a..b) contains 1 %}{% endif %}", "there are no ranges"),
        ("{{ now }}", "'now' is undefined"),
        ("{{ today }}", "'today' is undefined"),
        ("{{ payload.title | upcas }}", "did you mean upcase?"),
        ("{{ payload.title | upcase: 1 }}", "upcase takes other arguments"),
        ("{{ timer.fire_at | date }}", "date expected a format"),
        ("{% for %}", "missing expression"),
        ("{{ payload | nonsense }}", "line 1: unknown filter 'nonsense'; there are abs"),
        ("{% include 'other' %}", "unexpected tag 'include'"),
        ("{% render 'other' %}", "unexpected tag 'render'"),
        ("{{ 'now' | date: '%Y' }}", "date expected an RFC 3339 time"),
        ("{{ timer.fire_at | date: '%H', 'Mars/Olympus' }}", "expected a time zone; got 'Mars/Olympus'"),
        ("{{ timer.fire_at | date: '%9999999d' }}", "without widths"),
        ("{{ 1 | divided_by: 0 }}", "divide by 0"),
        ("{{ '1e400' | ceil }}", "a filter cannot take a value"),
    ],
)
def test_what_cannot_be_filled_in_says_why(template: str, fault: str) -> None:
    with pytest.raises(TemplateFault) as caught:
        filled(template)
    assert fault in str(caught.value)


@pytest.mark.parametrize("template", ["{{ payload.title", "{% for %}", "{{ payload | nonsense }}"])
def test_what_is_no_template_is_found_without_filling_it_in(template: str) -> None:
    with pytest.raises(TemplateFault):
        check(BodyTemplate(template=template))


@pytest.mark.parametrize(
    "path", ["payload.__class__", "payload.items.__len__", "timer.keys", "payload['__init__']", "event.items"]
)
def test_nothing_of_python_can_be_reached(path: str) -> None:
    with pytest.raises(TemplateFault, match="is undefined"):
        filled("{{ " + path + " }}")


END = "{% endfor %}"


def loop(rounds: int) -> str:
    return "{% for i in payload.x limit: " + str(rounds) + " %}"


@pytest.mark.parametrize(
    "template",
    [
        f"{loop(8000)}{loop(8000)}x{END}{END}",
        "{% for a in payload.x %}{% for b in payload.x %}{% endfor %}{% endfor %}",
        loop(2000) + "{{''}}" * 900 + END,
        (loop(99) + END) * 250,
        loop(8000) + "{% if payload.x == payload.y %}{% endif %}" + END,
        loop(8000) + "{% if payload.s contains 'ab' %}{% endif %}" + END,
        "{% assign x = 'ab' %}" + loop(60) + "{% assign x = x | append: x %}" + END,
        "{% assign l = payload.x %}" + loop(30) + "{% assign l = l | concat: l %}" + END,
        "{{ payload.s | replace: '<', payload.s }}",
        loop(99) + "{{ payload.x | sort: 'k' | size }}" + END,
        "{{ payload.s }}{{ payload.s }}",
    ],
)
def test_what_does_too_much_is_stopped(template: str) -> None:
    with pytest.raises(TemplateFault, match="does too much"):
        filled(template, LARGE)


def test_numbers_do_not_grow_without_bound() -> None:
    squares = "{% assign x = 99999 %}" + loop(60) + "{% assign x = x | times: x %}" + END + "{{ x }}"
    with pytest.raises(TemplateFault, match="at most 30 digits"):
        filled(squares, LARGE)


@pytest.mark.parametrize(
    "part",
    ["{{", "{%", "}}", "{{a", "{% if a %}", "{% comment %}", "{% raw %}", "{{ a|b", "{{ '", "{% #", "("],
)
def test_what_repeats_without_sense_is_read_in_no_time(part: str) -> None:
    for template in (part * 1000, f"{{{{ {part * 1000} }}}}", f"{{% raw %}}{part * 1000}{{% endraw %}}"):
        with suppress(TemplateFault):
            check(BodyTemplate(template=template[:16_384]))


def test_a_large_payload_can_still_be_walked_through() -> None:
    made = filled("{% for one in payload.x %}{{ one.k }} {% endfor %}", LARGE)
    assert made.split()[-1] == "v7999"
    assert len(made) < MOST_OUTPUT
