from datetime import timedelta

import pytest
from cryptography.fernet import Fernet
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from mesh.crypto import Cipher
from mesh.deadletters import DeadLetterLimit, DeadLetterPolicy, DeadLetters, read_dead_letter
from mesh.errors import ConfigurationError, DeadLetterLimitError
from mesh.memory import InMemoryBroker
from mesh.record import RawRecord
from mesh.testing import CAMERA_ID, a_frame_captured, a_record
from mesh.tracing import TRACEPARENT

CIPHER = Cipher(SecretStr(Fernet.generate_key().decode()))


def written(event: object, original: bytes | None, reason: str = "bad") -> RawRecord:
    broker = InMemoryBroker(["letters"], partitions=1)
    producer = broker.producer()
    letters = DeadLetters(producer, CIPHER, topic="letters", service="detection", version="1.2.3")
    record = a_record(event, partition=2, offset=7, key="key", headers={TRACEPARENT: b"00-aa"})
    letters.write(record, original, reason)
    producer.flush(timedelta(seconds=1))
    (letter,) = broker.records("letters")
    return letter


def test_a_letter_tells_where_it_comes_from_why_and_whose_it_is() -> None:
    letter = read_dead_letter(written(a_frame_captured(), b"bytes", "bad\r\n lens"), CIPHER)
    assert (letter.origin.partition, letter.offset, letter.key) == (2, 7, "key")
    assert (letter.reason, letter.service, letter.version) == ("bad lens", "detection", "1.2.3")
    assert (letter.camera_id, letter.sequence_number) == (CAMERA_ID, 0)
    assert (letter.value, letter.traceparent) == (b"bytes", "00-aa")


def test_a_letter_of_an_unreadable_envelope_knows_no_camera() -> None:
    letter = read_dead_letter(written(b"?", b"?"), CIPHER)
    assert (letter.camera_id, letter.sequence_number) == (None, None)


def test_a_tombstone_is_told_from_empty_bytes() -> None:
    assert read_dead_letter(written(None, None), CIPHER).value is None
    assert read_dead_letter(written(b"", b""), CIPHER).value == b""


@given(st.binary(max_size=2000))
def test_the_original_bytes_come_back_and_are_not_readable_on_the_way(original: bytes) -> None:
    letter = written(None, original)
    assert letter.event is not None
    assert len(original) < 4 or original not in letter.event
    assert read_dead_letter(letter, CIPHER).value == original


def test_another_key_opens_nothing() -> None:
    with pytest.raises(ConfigurationError, match="SIGHTLINE_SECRET_KEY"):
        read_dead_letter(written(None, b"x"), Cipher(SecretStr(Fernet.generate_key().decode())))


def test_another_record_is_no_letter() -> None:
    with pytest.raises(ValueError, match="no dead letter"):
        read_dead_letter(a_record(b"bytes"), CIPHER)


def reject(limit: DeadLetterLimit, *keys: str) -> None:
    for key in keys:
        limit.rejected(key)


def test_one_broken_camera_never_reaches_a_limit() -> None:
    limit = DeadLetterLimit(DeadLetterPolicy(keys=2, in_a_row=3, window=4))
    reject(limit, *["a"] * 100)
    with pytest.raises(DeadLetterLimitError, match="of 2 keys"):
        reject(limit, "b")


def test_rejects_of_several_cameras_in_a_row_reach_the_limit() -> None:
    limit = DeadLetterLimit(DeadLetterPolicy(keys=2, in_a_row=3))
    with pytest.raises(DeadLetterLimitError, match="3 records in a row"):
        reject(limit, "a", "b", "a")


def test_a_success_ends_a_row() -> None:
    limit = DeadLetterLimit(DeadLetterPolicy(keys=2, in_a_row=3))
    reject(limit, "a", "b")
    limit.accepted("a")
    reject(limit, "a", "b")
    with pytest.raises(DeadLetterLimitError, match="3 records in a row"):
        reject(limit, "a")


def test_too_large_a_share_of_rejects_reaches_the_limit() -> None:
    limit = DeadLetterLimit(DeadLetterPolicy(keys=2, in_a_row=99, ratio=0.5, window=4))
    limit.accepted("a")
    reject(limit, "a", "b")
    with pytest.raises(DeadLetterLimitError, match="3 of the last 4"):
        reject(limit, "a")
