"""How a video is cut into access units, with a GStreamer that is as slow as it likes."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from local import rtsp

UNIT = b"a picture"
LATE = None


class Sample:
    """One key frame at ten a second."""

    def get_caps(self) -> "Sample":
        return self

    def get_structure(self, _number: int) -> "Sample":
        return self

    def get_fraction(self, _name: str) -> tuple[bool, int, int]:
        return True, 10, 1

    def get_buffer(self) -> "Sample":
        return self

    def has_flags(self, _flags: object) -> bool:
        return False

    def get_size(self) -> int:
        return len(UNIT)

    def extract_dup(self, _start: int, _size: int) -> bytes:
        return UNIT


@dataclass
class Pipeline:
    """Gives these samples, `LATE` ones after a while, and then ends or fails."""

    samples: list[Sample | None]
    fails: bool
    starts: list[str] = field(default_factory=list)

    def get_by_name(self, _name: str) -> "Pipeline":
        return self

    def get_bus(self) -> "Pipeline":
        return self

    def set_property(self, _name: str, _value: str) -> None:
        """The file."""

    def set_state(self, state: str) -> None:
        self.starts.append(state)

    def emit(self, _signal: str, _wait: int) -> Sample | None:
        return self.samples.pop(0) if self.samples else None

    def get_property(self, _name: str) -> bool:
        return not self.samples and not self.fails

    def pop_filtered(self, _kind: object) -> object | None:
        return "error" if self.fails and not self.samples else None


def gstreamer(*samples: Sample | None, fails: bool = False) -> SimpleNamespace:
    return SimpleNamespace(
        SECOND=10**9,
        State=SimpleNamespace(PLAYING="playing", NULL="null"),
        BufferFlags=SimpleNamespace(DELTA_UNIT="delta"),
        MessageType=SimpleNamespace(ERROR="error"),
        parse_launch=lambda _line: Pipeline(list(samples), fails),
    )


@pytest.mark.parametrize("samples", [[Sample(), Sample()], [LATE, LATE, Sample(), LATE, Sample()]])
def test_a_clip_is_whole_however_late_its_pictures_come(samples: Sequence[Sample | None]) -> None:
    clip = rtsp.split(gstreamer(*samples), "clip.mp4")
    assert clip == rtsp.Clip("h264", 10.0, [UNIT, UNIT], [0, 1])


def test_what_was_read_before_an_error_is_kept() -> None:
    assert rtsp.split(gstreamer(LATE, Sample(), fails=True), "clip.mp4").units == [UNIT]


@pytest.mark.parametrize("fails", [True, False])
def test_a_file_without_pictures_is_refused_as_soon_as_that_is_known(*, fails: bool) -> None:
    with pytest.raises(ValueError, match=r"clip\.mp4: no H\.264 or H\.265 video"):
        rtsp.split(gstreamer(fails=fails), "clip.mp4")


def test_a_file_of_which_nothing_comes_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rtsp, "_SILENT_SECONDS", -1.0)
    with pytest.raises(ValueError, match=r"no H\.264"):
        rtsp.split(gstreamer(LATE), "clip.mp4")
