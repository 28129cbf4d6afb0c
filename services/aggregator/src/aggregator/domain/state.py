"""All that is kept of one camera."""

from dataclasses import dataclass, field

from aggregator.domain.sightings import Feed, FeedState, has_open
from aggregator.domain.windows import Seen
from mesh.events import FrameHeader, Purpose


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraState:
    """The window over a camera's records and the sightings of its two feeds; no pixels."""

    seen: tuple[Seen, ...] = ()
    stream: FeedState = field(default_factory=FeedState)
    pushed: FeedState = field(default_factory=FeedState)

    def feed(self, feed: Feed) -> FeedState:
        """The state of one feed."""
        return self.stream if feed is Feed.STREAM else self.pushed

    @property
    def feeds(self) -> tuple[FeedState, FeedState]:
        """Both feeds."""
        return self.stream, self.pushed

    @property
    def is_open(self) -> bool:
        """Whether any sighting is open."""
        return any(map(has_open, self.feeds))


def feed_of(frame: FrameHeader) -> Feed | None:
    """The feed whose sightings the frame moves; nothing for frames of private purposes."""
    match frame.purpose:
        case Purpose.SURVEILLANCE:
            return Feed.STREAM
        case Purpose.PROCESS_FRAME:
            return Feed.PUSHED
        case _:
            return None
