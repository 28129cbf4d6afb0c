"""Every metric that the code registers is explained in docs/operations.md, and none besides."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
_REGISTERED = re.compile(
    r"\b(Counter|Gauge|Histogram|Summary)\(\s*\"(sightline_\w+)\",\s*\"[^\"]*\"(?:\s*\"[^\"]*\")*"
    r"(?:,\s*\[([^\]]*)\])?"
)
_NAMED = re.compile(r"\"(sightline_\w+)\"")
_ROW = re.compile(r"^\| `(sightline_\w+)(?:\{([^}]*)\})?` \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)
_NO_METRIC = {"sightline_session"}
"""The cookie of the live page."""


def registered() -> dict[str, set[str]]:
    """Metrics of the code by the name that Prometheus shows, and their labels."""
    found = {}
    for path in sources():
        for kind, name, labels in _REGISTERED.findall(path.read_text(encoding="utf-8")):
            shown = f"{name.removesuffix('_total')}_total" if kind == "Counter" else name
            found[shown] = set(re.findall(r"\"(\w+)\"", labels))
    return found


def sources() -> list[Path]:
    return [
        path
        for folder in ("services", "libs")
        for path in (ROOT / folder).glob("*/src/**/*.py")
        if "sightline_" in path.read_text(encoding="utf-8")
    ]


def documented() -> dict[str, set[str]]:
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    return {name: set(filter(None, labels.split(","))) for name, labels, *_ in _ROW.findall(text)}


def test_every_metric_is_documented_with_its_labels_and_no_other() -> None:
    assert documented() == registered()


def test_no_metric_is_registered_in_a_way_that_this_test_does_not_see() -> None:
    seen = {name.removesuffix("_total") for name in registered()}
    named = {
        name.removesuffix("_total")
        for path in sources()
        for name in _NAMED.findall(path.read_text(encoding="utf-8"))
    }
    assert named - _NO_METRIC == seen
