from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import av
import pytest

from bench.bare_cameras import Totals
from bench.camera_books import Books
from bench.camera_cost import Cost
from bench.camera_seen import Frames
from bench.camera_site import Broker
from bench.cameras import Options, goals, measure
from bench.farm import HEIGHT, WIDTH, make_clip
from local import rtsp
from mesh.events import Lane, LedgerEntry, SequenceRange
from mesh.testing import a_frame_captured

FRAME = a_frame_captured()
CAMERA, EPOCH = FRAME.frame.camera_id, FRAME.frame.epoch


def an_entry(first: int, last: int, *, reason: str | None = None, closes: bool = False) -> Any:
    return LedgerEntry(
        camera_id=CAMERA,
        epoch=EPOCH,
        lane=Lane.LIVE,
        outcome="captured" if reason is None else "shed",
        reason=reason,
        ranges=(SequenceRange(first=first, last=last),),
        closes_epoch=closes,
        service="camera",
        instance_id="camera-0",
        reported_at=datetime.now(UTC),
    )


def a_round(**changes: Any) -> dict[str, Any]:
    ledger = {"captured": 10, "unaccounted": 0, "open_epochs": 0}
    return {
        "streams": 16, "fps": 5, "ratio": 1.1, "all_live_s": 5.0, "heal_s": 20.0, "ledger": ledger,
        "connections_at_once": 8, "published_share": 1.0, **changes,
    }  # fmt: skip


def test_bare_work_is_counted_by_what_the_service_did() -> None:
    bare = Totals(
        decoded=10, encoded=5, received=10, receiving_s=0.005, decoding_s=0.01, encoding_s=0.01
    )
    dropped = Counter(max_age=10, catching_up=200)
    frames = Frames(decoded=200, skipped=90, published=100, dropped=dropped)
    cost = Cost(seconds=10.0, streams=2, fps=15, service_s=0.72, frames=frames, bare=bare)

    found = cost.figures()

    assert found["bare_cpu_per_stream"] == pytest.approx(100 * (0.4 + 0.2) / 10 / 2)
    assert found["ratio"] == pytest.approx(1.2)
    assert found["published_share"] == pytest.approx(1.0)


def test_books_balance_when_every_number_was_published_or_shed() -> None:
    books = Books()
    books.frame(FRAME)
    sequence = FRAME.frame.sequence_number
    shed = [n for n in range(sequence + 2) if n != sequence]
    for number in shed:
        books.entry(an_entry(number, number, reason="ring_full"))
    books.entry(an_entry(0, sequence + 1))
    assert books.open_epochs() == 1

    books.entry(an_entry(0, sequence + 1, closes=True))

    found = books.balance()
    assert found["unaccounted"] == found["open_epochs"] == 0
    assert found["shed"] == {"ring_full": len(shed)}


def test_a_frame_that_nobody_accounts_for_unbalances_the_books() -> None:
    books = Books()
    books.entry(an_entry(0, 3))
    books.entry(an_entry(0, 3, closes=True))

    assert books.balance()["unaccounted"] == 4


@pytest.mark.parametrize(
    "missed",
    [
        {"ratio": 1.3},
        {"all_live_s": None},
        {"heal_s": 61.0},
        {"ledger": {"captured": 0}},
        {"connections_at_once": 9},
    ],
)
def test_a_goal_is_judged_in_every_round(missed: dict[str, Any]) -> None:
    judged = goals([a_round(), a_round(streams=40, **missed)])
    [goal] = [goal for goal, holds in judged.items() if not holds]
    assert goal.startswith("40 x 5/s: ")
    assert all(goals([a_round()]).values())


def test_the_ratio_is_not_judged_where_the_machine_was_overloaded() -> None:
    judged = goals([a_round(published_share=0.9)])
    assert not judged["16 x 5/s: published >= 0.95"]
    assert not any("ratio" in goal for goal in judged)


def test_memory_that_grows_in_a_soak_is_told() -> None:
    soak = {"minutes": 60.0, "mb_per_hour": 6.0, "threads": [30, 30]}
    assert not goals([a_round(soak=soak)])["16 x 5/s: no growth"]
    assert not any("growth" in goal for goal in goals([a_round(soak=soak | {"minutes": 2.0})]))


def test_the_clip_is_video_of_its_rate(tmp_path: Path) -> None:
    make_clip(tmp_path / "clip.mp4", 5)
    with av.open(str(tmp_path / "clip.mp4")) as container:
        track = container.streams.video[0]
        assert (track.width, track.height) == (WIDTH, HEIGHT)
        assert float(track.average_rate or 0) == 5


@pytest.mark.integration
@pytest.mark.slow
def test_four_streams_are_measured_from_registration_to_the_last_entry(
    kafka: str, registry: str
) -> None:
    reason = rtsp.missing()
    if reason:
        pytest.skip(reason)

    report = measure(Broker(kafka, registry), Options(streams=(4,), seconds=2.0))

    assert report["goals"]["4 x 5/s: ledger balanced"]
    assert report["bare_streams"] == 4
    assert report["all_live_s"] is not None
    assert report["heal_s"] is not None
    assert report["bare_cpu_per_stream"] > 0
    assert report["ledger"]["published"] > 0
