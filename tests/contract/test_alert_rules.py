"""Alert rules name metrics that the code has, and the manual tells what each alert is about."""

import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RULES = (ROOT / "docs" / "alerts.yaml").read_text(encoding="utf-8")
METRIC = re.compile(r"\bsightline_[a-z0-9_]+")
SUFFIX = re.compile(r"_(total|bucket|sum|count)$")


@cache
def in_the_code() -> set[str]:
    """Every metric name that stands as text in the source of a service or the library."""
    sources = [*ROOT.glob("services/*/src/**/*.py"), *ROOT.glob("libs/*/src/**/*.py")]
    text = "\n".join(source.read_text(encoding="utf-8") for source in sources)
    return set(re.findall(r'"(sightline_[a-z0-9_]+)"', text))


def named_by_rules() -> list[str]:
    """Every metric that an expression names."""
    expressions = re.findall(r"^ +expr: (.+(?:\n {10,}.+)*)", RULES, re.MULTILINE)
    return sorted({name for each in expressions for name in METRIC.findall(each)})


@pytest.mark.parametrize("name", named_by_rules())
def test_a_rule_names_a_metric_that_exists(name: str) -> None:
    known = in_the_code()
    assert {name, SUFFIX.sub("", name)} & known, f"no code has {name}"


def test_every_alert_has_an_expression_a_severity_and_a_summary() -> None:
    alerts = re.split(r"^ +- alert: ", RULES, flags=re.MULTILINE)[1:]
    assert alerts
    for alert in alerts:
        for part in ("expr:", "severity:", "summary:"):
            assert part in alert, f"{alert.splitlines()[0]} lacks {part}"
