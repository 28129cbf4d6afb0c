import base64
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from camera.domain.camera_clock import moment_in, moment_of, part_headers
from camera.domain.messages import Message, message_of

MOMENT = datetime(2026, 11, 21, 10, 30, 0, 500_000, tzinfo=UTC)
SECONDS = MOMENT.timestamp()
JPEG = b"\xff\xd8\xff\xe0 picture \xff\xd9"
BASE64 = base64.b64encode(JPEG).decode()


@pytest.mark.parametrize(
    "said",
    [
        SECONDS,
        str(SECONDS),
        int(SECONDS * 1e3),
        SECONDS * 1e3,
        int(SECONDS * 1e6),
        str(int(SECONDS * 1e9)),
        "2026-11-21T10:30:00.500Z",
        "2026-11-21T11:30:00.5+01:00",
        " 2026-11-21 10:30:00.500 ",
    ],
)
def test_a_moment_may_be_written_in_many_ways(said: object) -> None:
    moment = moment_of(said)
    assert moment is not None
    assert abs((moment - MOMENT).total_seconds()) < 0.001
    assert moment.tzinfo is UTC


def test_dates_of_http_are_moments_too() -> None:
    assert moment_of("Sat, 21 Nov 2026 10:30:00 GMT") == MOMENT.replace(microsecond=0)


@pytest.mark.parametrize(
    "said", [None, True, 12, -1.0, float("nan"), float("inf"), 1e40, "", "today", [1], "1e400"]
)
def test_what_is_no_moment_is_none(said: object) -> None:
    assert moment_of(said) is None


@given(st.text())
def test_no_text_confuses_the_clock(said: str) -> None:
    moment = moment_of(said)
    assert moment is None or moment.tzinfo is UTC


def test_the_headers_of_a_part_are_those_after_its_boundary() -> None:
    between = (
        b"\r\n--frame\r\nContent-Type: text/plain\r\nX-Timestamp: 1\r\n\r\nhello: you\r\n"
        b"--frame\r\nCONTENT-TYPE: image/jpeg\r\nx-TimeStamp:  1795257000.5 \r\n\r\n"
    )
    headers = part_headers(between)
    assert headers == {"content-type": "image/jpeg", "x-timestamp": "1795257000.5"}
    assert moment_in(headers) == datetime.fromtimestamp(1795257000.5, UTC)


def test_headers_may_end_with_line_feeds_and_stand_without_a_boundary() -> None:
    assert part_headers(b"\nDate: now\nno header\n\n") == {"date": "now"}
    assert part_headers(b"\xff\x00\r\n") == {}
    assert moment_in({"date": "now"}) is None


def test_the_finest_clock_of_the_headers_counts() -> None:
    date = "Sat, 21 Nov 2026 10:30:00 GMT"
    assert moment_in({"date": date, "x-timestamp": str(SECONDS)}) == MOMENT
    assert moment_in({"date": date, "x-timestamp": "1"}) == MOMENT.replace(microsecond=0)


@pytest.mark.parametrize(
    "message",
    [
        JPEG,
        BASE64,
        BASE64.encode(),
        f"  {BASE64[:8]}\n{BASE64[8:]}  ",
        BASE64.rstrip("="),
        base64.urlsafe_b64encode(JPEG).decode(),
        f"data:image/jpeg;base64,{BASE64}",
        json.dumps({"image": BASE64}),
        json.dumps({"type": "frame", "data": f"data:image/jpeg;base64,{BASE64}"}).encode(),
    ],
)
def test_a_picture_comes_in_many_kinds_of_message(message: bytes | str) -> None:
    assert message_of(message) == Message(JPEG)


def test_a_message_may_tell_when_its_picture_was_taken() -> None:
    for said in (SECONDS, int(SECONDS * 1000), MOMENT.isoformat()):
        message = json.dumps({"frame_data": BASE64, "timestamp": said})
        assert message_of(message) == Message(JPEG, MOMENT)
    assert message_of(json.dumps({"image": BASE64, "timestamp": "soon"})) == Message(JPEG)


@pytest.mark.parametrize(
    "message",
    ["", "hello", "{}", "{", "[1]", '{"image": 5}', '{"image": "hello"}', b"\x00\xff", b"PNG", "é"],
)
def test_a_message_without_a_picture_is_none(message: bytes | str) -> None:
    assert message_of(message) is None


@given(st.one_of(st.text(), st.binary()))
def test_no_message_confuses_the_reader(message: bytes | str) -> None:
    brought = message_of(message)
    assert brought is None or brought.image.startswith(b"\xff\xd8")
