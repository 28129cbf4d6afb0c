"""A camera's state fits into a record whatever comes; random identifiers, which do not compress."""

import random
import string
from dataclasses import replace
from datetime import timedelta

from aggregator.adapters.state_codec import StateCodec
from aggregator.domain.followed import Followed, SightingPolicy
from aggregator.domain.sightings import Feed, FeedState, follow
from aggregator.domain.state import CameraState
from aggregator.domain.windows import WINDOW, Seen
from mesh.events import FrameRecognized, RecognizedFace
from mesh.identity import detection_id
from mesh.record import MAX_VALUE_BYTES
from mesh.schemas import SchemaLibrary
from mesh.testing import (
    NOON,
    a_decision,
    a_frame_header,
    a_frame_recognized,
    a_recognized_face,
)

LIMIT = 1024 * 1024
"""Bytes; half of what the broker takes."""
FACES = 200
"""The most that a camera's settings allow per frame."""
CODEC = StateCodec(SchemaLibrary.packaged())


class Chance:
    """Long random names."""

    def __init__(self) -> None:
        self._random = random.Random(7)

    def text(self, length: int) -> str:
        return "".join(self._random.choices(string.ascii_letters + string.digits, k=length))

    def number(self) -> int:
        return self._random.randrange(2**63)

    def share(self) -> float:
        return self._random.random()


def a_crowded_frame(
    chance: Chance, number: int, at: float, names: list[str], camera_name: str
) -> FrameRecognized:
    moment = NOON + timedelta(seconds=at)
    header = a_frame_header(
        sequence_number=number,
        camera_timestamp=moment,
        received_timestamp=moment,
        camera_name=camera_name,
    )
    face = a_recognized_face(decision=a_decision(identified=True))
    faces = tuple(
        a_face_like(face, chance, header.frame_key, index, name) for index, name in enumerate(names)
    )
    return a_frame_recognized(frame=header, faces=faces)


def a_face_like(
    face: RecognizedFace, chance: Chance, frame_key: str, index: int, name: str
) -> RecognizedFace:
    """Another face of a frame; built anew, tens of thousands of them take a minute."""
    assert face.decision is not None
    return replace(
        face,
        face=replace(
            face.face,
            index=index,
            detection_id=detection_id(frame_key, index),
            track_id=f"trk_{chance.text(28)}",
            quality=replace(face.face.quality, score=chance.share()),
        ),
        decision=replace(face.decision, person_id=name, similarity=chance.share()),
    )


def a_full_feed(chance: Chance, feed: Feed) -> FeedState:
    """As many persons as there is room for, each with new tracks all the time."""
    policy, camera_name = SightingPolicy(), "🎥" * 200
    state, number = FeedState(), 0
    for _ in range(2):
        names = [f"per_{chance.text(36)}" for _ in range(FACES)]
        for turn in range(30):
            at = number * 0.4 + turn * 0.001
            frame = a_crowded_frame(chance, number, at, names, camera_name)
            state = follow(state, feed, frame, policy, lambda _: False).state
            number += 1
    assert len(state.followed) == policy.max_kept
    return replace(state, followed=tuple(disguised(item, chance) for item in state.followed))


def disguised(item: Followed, chance: Chance) -> Followed:
    """The sighting as if nothing in it repeated what is told or what others have."""
    assert item.told is not None
    told = replace(
        item.told,
        first_frame_key=chance.text(36),
        last_frame_key=chance.text(36),
        best_detection_id=f"det_{chance.text(36)}",
        best_similarity=chance.share(),
    )
    return replace(item, told=told, cause=chance.text(36))


def a_full_window(chance: Chance) -> tuple[Seen, ...]:
    return tuple(
        Seen(
            epoch=chance.number(),
            sequence=chance.number(),
            offset=chance.number(),
            started=chance.number(),
            took=chance.number(),
            instance_id=chance.text(64),
            poisoned=bool(number % 2),
        )
        for number in range(WINDOW)
    )


def test_the_largest_state_is_half_of_what_the_broker_takes() -> None:
    chance = Chance()
    state = CameraState(
        seen=a_full_window(chance),
        stream=a_full_feed(chance, Feed.STREAM),
        pushed=a_full_feed(chance, Feed.PUSHED),
    )
    assert max(len(item.tracks) for item in state.stream.followed) == 24
    data = CODEC.encode(state).data
    assert CODEC.decode(data) == state
    assert LIMIT // 2 < len(data) < LIMIT < MAX_VALUE_BYTES
