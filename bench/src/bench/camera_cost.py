"""What cameras cost the service beside a bare loop that does as much."""

from dataclasses import dataclass

from bench.bare_cameras import Totals
from bench.camera_seen import Frames

SAMPLED = 5.0
"""Frames per second that are kept."""
_LEFT_OUT = "catching_up"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Processor time of a span, and what was done for it."""

    seconds: float
    streams: int
    fps: float
    """Of the cameras."""
    service_s: float
    frames: Frames
    bare: Totals

    def figures(self) -> dict[str, float]:
        """Percent of one core per stream, of the service and of the bare loop for the same work.

        A frame that was shed counts as decoded and not as encoded, and one that was left out to
        catch up only as received.
        """
        left_out = self.frames.dropped[_LEFT_OUT]
        receiving = self.bare.receiving_s / max(self.bare.received, 1)
        decoding = self.bare.decoding_s / max(self.bare.decoded, 1)
        encoding = self.bare.encoding_s / max(self.bare.encoded, 1)
        bare_s = receiving * (self.frames.decoded + left_out)
        bare_s += decoding * self.frames.decoded + encoding * self.frames.published
        share = 100 / self.seconds / self.streams
        wanted = min(self.fps, SAMPLED) * self.seconds * self.streams
        return {
            "cpu_per_stream": round(self.service_s * share, 3),
            "bare_cpu_per_stream": round(bare_s * share, 3),
            "ratio": round(self.service_s / bare_s, 3) if bare_s else float("nan"),
            "decoded_fps": round(self.frames.decoded / self.seconds / self.streams, 2),
            "published_fps": round(self.frames.published / self.seconds / self.streams, 2),
            "published_share": round(min(1.0, self.frames.published / wanted), 3),
            "bare_receiving_ms": round(1000 * receiving, 3),
            "bare_decoding_ms": round(1000 * decoding, 3),
            "bare_encoding_ms": round(1000 * encoding, 3),
        }
