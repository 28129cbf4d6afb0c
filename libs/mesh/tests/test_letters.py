from dataclasses import replace
from datetime import timedelta

import pytest
from pydantic import SecretStr

from mesh.crypto import Cipher
from mesh.deadletters import DeadLetters
from mesh.errors import ConfigurationError
from mesh.letters import (
    REPLAY,
    REPLAYED,
    LetterFilter,
    Place,
    moment_of,
    original_of,
    select,
)
from mesh.memory import InMemoryBroker
from mesh.record import RawRecord
from mesh.testing import NOON, a_frame_captured, a_record
from mesh.tracing import TRACEPARENT

CIPHER = Cipher(SecretStr(Cipher.new_key()))


def a_letter(
    offset: int, reason: str = "undecodable: bytes", original: bytes | None = b"old"
) -> RawRecord:
    broker = InMemoryBroker(["letters"], partitions=1)
    producer = broker.producer()
    letters = DeadLetters(producer, CIPHER, topic="letters", service="detection", version="1.0")
    headers = {TRACEPARENT: b"00-aa", "own": b"1"}
    record = a_record(a_frame_captured(), topic="s.frames.live", partition=1, headers=headers)
    letters.write(record, original, reason)
    producer.flush(timedelta(seconds=1))
    (letter,) = broker.records("letters")
    return replace(letter, offset=offset, timestamp=NOON + timedelta(minutes=offset))


def a_note(place: str) -> RawRecord:
    return a_record(None, topic="letters", offset=99, headers={REPLAYED: place.encode()})


def places(*records: RawRecord, **wanted: object) -> list[str]:
    return [str(each.place) for each in select(records, LetterFilter(**wanted))]  # type: ignore[arg-type]


def test_letters_are_found_by_reason_topic_time_and_name() -> None:
    letters = [a_letter(0), a_letter(1, "poison: ended its process 2 times"), a_letter(2)]
    assert places(*letters) == ["0:0", "0:1", "0:2"]
    assert places(*letters, reason="poison") == ["0:1"]
    assert places(*letters, topic="s.frames.live", limit=1) == ["0:2"]
    assert places(*letters, topic="s.frames.request") == []
    assert places(*letters, since=NOON + timedelta(minutes=1)) == ["0:1", "0:2"]
    assert places(*letters, places=frozenset({Place(0, 2)})) == ["0:2"]


def test_a_name_without_a_letter_is_told() -> None:
    with pytest.raises(ConfigurationError, match="no such letter: 0:7"):
        select([a_letter(0)], LetterFilter(places=frozenset({Place(0, 7)})))


@pytest.mark.parametrize("name", ["7", "a:b", "1:2:3", "-1:0"])
def test_a_name_has_two_numbers(name: str) -> None:
    with pytest.raises(ConfigurationError, match="partition:offset"):
        Place.parse(name)


def test_a_note_tells_which_letters_came_again() -> None:
    letters = select([a_letter(0), a_letter(1), a_note("0:1"), a_record(None)], LetterFilter())
    assert [letter.replayed for letter in letters] == [False, True]


def test_a_letter_reads_as_one_line() -> None:
    (letter,) = select([a_letter(3)], LetterFilter())
    shown = letter.render()
    assert shown["letter"] == "0:3"
    assert shown["origin"] == "s.frames.live:1:0"
    assert shown["reason"] == "undecodable: bytes"
    assert shown["replayed"] is False


def test_the_original_comes_back_with_its_key_and_headers_and_where_it_was() -> None:
    letter = a_letter(3)
    original = original_of(letter, CIPHER)
    assert (original.topic, original.key, original.value) == ("s.frames.live", letter.key, b"old")
    assert original.headers == {TRACEPARENT: b"00-aa", "own": b"1", REPLAY: b"0:3"}


def test_a_tombstone_comes_back_as_a_tombstone() -> None:
    original = original_of(a_letter(3, original=None), CIPHER)
    assert original.value is None
    assert "tombstone" not in original.headers


def test_a_moment_is_an_age_or_a_time() -> None:
    assert moment_of("30m", NOON) == NOON - timedelta(minutes=30)
    assert moment_of("2d", NOON) == NOON - timedelta(days=2)
    assert moment_of("2026-01-01T12:00:00+00:00", NOON) == NOON


@pytest.mark.parametrize("text", ["yesterday", "2026-01-01T12:00:00", "5w"])
def test_another_moment_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="--since"):
        moment_of(text, NOON)
