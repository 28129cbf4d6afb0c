"""Clips for tests."""

from pathlib import Path

import av


def shrink(source: Path, target: Path, width: int, height: int) -> Path:
    """The same clip with smaller pictures."""
    with av.open(str(source)) as clip, av.open(str(target), "w") as out:
        rate = clip.streams.video[0].average_rate
        stream = out.add_stream("libx264", rate=rate)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for frame in clip.decode(video=0):
            out.mux(stream.encode(frame.reformat(width, height, "yuv420p")))
        out.mux(stream.encode())
    return target
