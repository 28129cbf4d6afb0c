"""Identifiers, topics, schemas, settings, evolution and the frame of a process."""

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import ConfigurationError
from mesh.events import Lane
from mesh.evolution import check_against_tag
from mesh.identity import detection_id, first_epoch, frame_key, is_id, new_epoch, new_id
from mesh.schemas import SchemaLibrary
from mesh.settings import MeshSettings
from mesh.topics import CATALOGUE, Topics

NOW = datetime(2026, 11, 6, tzinfo=UTC)


@given(st.integers(0, 2**63 - 1), st.integers(0, 2**40))
def test_a_frame_key_follows_from_camera_epoch_and_sequence(epoch: int, sequence: int) -> None:
    key = frame_key("cam_1", epoch, sequence)

    assert key == frame_key("cam_1", epoch, sequence)
    assert key != frame_key("cam_1", epoch, sequence + 1)
    assert detection_id(key, 0) != detection_id(key, 1)


def test_later_epochs_are_greater_and_fit_a_long() -> None:
    assert new_epoch(NOW) < new_epoch(NOW + timedelta(microseconds=1)) < 2**63


@given(st.integers(0, 14 * 365 * 86_400_000_000))
def test_epochs_of_a_moment_are_from_its_first_one_on(micros: int) -> None:
    moment = NOW + timedelta(microseconds=micros)
    later = moment + timedelta(milliseconds=1)
    assert first_epoch(moment) <= new_epoch(moment) < first_epoch(later)


@pytest.mark.parametrize(
    ("value", "ours"),
    [
        ("cam_550e8400-e29b-41d4-a716-446655440000", True),
        ("per_550e8400-e29b-41d4-a716-446655440000", False),
        ("cam_1", False),
        ("cam_" + "A" * 36, False),
        ("", False),
        ("cam_550E8400-E29B-41D4-A716-446655440000", False),
    ],
)
def test_only_canonical_identifiers_are_ours(value: str, ours: bool) -> None:
    assert is_id("cam", value) is ours


def test_a_new_identifier_is_ours() -> None:
    assert is_id("cam", new_id("cam"))


def test_topics_carry_the_prefix_and_find_their_specification() -> None:
    topics = Topics("site.")

    assert topics.lane(Lane.EVIDENCE) == "site.frames.evidence"
    assert topics.spec("site.results").public
    for unknown in ("results", "site.nothing"):
        with pytest.raises(KeyError):
            topics.spec(unknown)


def test_every_topic_of_pixels_forgets_within_a_day_but_evidence_and_dead_letters() -> None:
    for spec in CATALOGUE:
        if spec.pixels and spec.name not in {"frames.evidence", "dead-letters"}:
            assert spec.retention is not None
            assert spec.retention <= timedelta(days=1)


@pytest.mark.parametrize(
    ("variable", "value"),
    [("SIGHTLINE_PARTITIONS", "0"), ("SIGHTLINE_LOG_LEVEL", "LOUD")],
)
def test_a_setting_out_of_range_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)

    with pytest.raises(ConfigurationError, match=variable):
        MeshSettings.load()


def test_our_schemas_are_in_order() -> None:
    assert list(check_against_tag(SchemaLibrary.packaged()))[-1].endswith("in order")


def altered(tmp_path: Path, name: str, field: dict[str, object]) -> SchemaLibrary:
    for short, schema in SchemaLibrary.packaged().definitions.items():
        copy = json.loads(json.dumps(schema))
        if short == name:
            copy["fields"].append(field)
        (tmp_path / f"{short}.avsc").write_text(json.dumps(copy))
    return SchemaLibrary(tmp_path)


def test_a_field_without_default_breaks_the_promise_to_readers(tmp_path: Path) -> None:
    library = altered(tmp_path, "Sighting", {"name": "mood", "type": "string", "doc": "New."})

    with pytest.raises(ConfigurationError, match="sightings: new Sighting cannot read"):
        list(check_against_tag(library, "HEAD"))


def test_a_field_without_doc_is_refused(tmp_path: Path) -> None:
    library = altered(tmp_path, "Alert", {"name": "mood", "type": "string", "default": ""})

    with pytest.raises(ConfigurationError, match=r"Alert\.mood has no doc"):
        list(check_against_tag(library))


def test_an_unknown_revision_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="no-such-tag"):
        list(check_against_tag(SchemaLibrary.packaged(), "no-such-tag"))


@pytest.mark.parametrize(
    ("body", "environment", "code", "said"),
    [
        ("process.stop.wait(0.01)", {}, 0, "service_stopped"),
        ("raise RuntimeError('boom')", {}, 1, "boom"),
        ("raise ConfigurationError('no model')", {}, 78, "no model"),
        ("pass", {"SIGHTLINE_PARTITIONS": "none"}, 78, "SIGHTLINE_PARTITIONS"),
        ("os.kill(os.getpid(), 15); assert process.stop.wait(60)", {}, 0, "service_stopped"),
    ],
)
def test_the_exit_code_tells_how_a_process_ended(
    body: str, environment: dict[str, str], code: int, said: str
) -> None:
    script = (
        "import os\nfrom mesh.errors import ConfigurationError\n"
        "from mesh.process import run_service\nfrom mesh.settings import MeshSettings\n"
        f"def body(settings, process):\n    {body}\n"
        "run_service('probe', MeshSettings, body)\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False
    )

    assert done.returncode == code
    assert said in done.stdout + done.stderr
