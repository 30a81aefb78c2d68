"""Numbers as the report writes them, and templates that escape what they are given."""

import jinja2
import pytest
import yaml

from clean_corpus.pipeline.report.render import TEMPLATES, format_duration, format_score, to_yaml


@pytest.mark.parametrize(
    ("value", "name", "text"),
    [
        (7812.5, "bandwidth_hz", "7,812"),
        (12.349, "snr_db", "12.3"),
        (-23.04, "loudness_lufs", "-23.0"),
        (0.000123, "clipping_ratio", "0.00012"),
        (0.5, "speech_ratio", "0.5"),
        (3.456, "dnsmos_ovrl", "3.46"),
        (0.987, "stoi", "0.99"),
        (None, "snr_db", "\N{EN DASH}"),
    ],
)
def test_a_score_has_the_digits_that_its_unit_means(value, name, text):
    assert format_score(value, name) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (59.94, "59.9 s"),
        (60, "1.0 min"),
        (3599, "60.0 min"),
        (3600, "1.00 h"),
        (36_000_000, "10,000.00 h"),
    ],
)
def test_a_duration_is_in_the_largest_unit_of_which_there_is_one(seconds, text):
    assert format_duration(seconds) == text


def test_yaml_keeps_the_order_and_the_letters():
    data = {"z": 1, "a": {"text": "é", "list": [1, None]}}
    assert to_yaml(data) == "z: 1\na:\n  text: é\n  list:\n  - 1\n  - null\n"
    assert yaml.safe_load(to_yaml(data)) == data


def render(text: str, **values: object) -> str:
    return TEMPLATES.from_string(text).render(**values)


def test_filters_write_numbers_for_people():
    assert (
        render("{{ n|clips }} {{ s|duration }} {{ x|percent }}", n=1234567, s=90, x=0.1234)
        == "1,234,567 1.5 min 12.3 %"
    )
    assert render("{{ x|score('snr_db') }}", x=3.0) == "3.0"


def test_what_comes_from_outside_is_escaped():
    assert render("{{ name }}", name="<script>'&\"") == "&lt;script&gt;&#39;&amp;&#34;"


def test_a_value_that_is_not_given_is_an_error():
    with pytest.raises(jinja2.UndefinedError, match="gone"):
        render("{{ gone }}")


def test_every_template_can_be_read():
    names = TEMPLATES.list_templates()
    assert "report.html" in names
    for name in names:
        TEMPLATES.get_template(name)
