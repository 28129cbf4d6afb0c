from datetime import timedelta

import pytest

from mesh.watchdog import Watchdog

LIMIT = timedelta(seconds=1)


@pytest.fixture
def ends() -> list[str]:
    return []


@pytest.fixture
def watchdog(ends: list[str]) -> Watchdog:
    return Watchdog(LIMIT, ends.append)


def test_a_piece_of_work_that_many_looks_have_seen_ends_the_process(
    watchdog: Watchdog, ends: list[str]
) -> None:
    with watchdog:
        for _ in range(4):
            watchdog.look()
        assert ends == []
        watchdog.look()
    assert ends == ["a batch has not ended within 0:00:01"]


def test_pieces_that_end_are_left_alone_however_many_there_are(
    watchdog: Watchdog, ends: list[str]
) -> None:
    for _ in range(20):
        with watchdog:
            watchdog.look()
            watchdog.look()
        watchdog.look()
    assert ends == []


def test_work_that_raised_has_ended(watchdog: Watchdog, ends: list[str]) -> None:
    with pytest.raises(ValueError, match="broken"), watchdog:
        raise ValueError("broken")
    for _ in range(9):
        watchdog.look()
    assert ends == []


def test_without_a_limit_nothing_is_watched(ends: list[str]) -> None:
    watchdog = Watchdog(None, ends.append)
    watchdog.start()
    watchdog.stop()
    watchdog.stop()
    assert ends == []
