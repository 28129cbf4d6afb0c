"""The open-set decision: who a face is, or why nobody.

The nearest person is not enough. A face gets a name if it is fit, comes as near as the present
size of the gallery demands, leaves the runner-up behind by a margin, and no other face of the
frame comes nearer to the same person.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import sqrt

from mesh.events import Candidate, Decision
from recognition.domain.calibration import Calibration


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchPolicy:
    """What a match has to reach."""

    calibration: Calibration
    quality_floor: float = 0.2
    """Faces below this quality score get no name, 0 to 1."""
    candidates: int = 5
    """Nearest persons that a decision names."""

    def __post_init__(self) -> None:
        if not 0 <= self.quality_floor <= 1:
            raise ValueError("quality_floor must be 0 to 1")
        if not 1 <= self.candidates <= 100:
            raise ValueError("candidates must be 1 to 100")


@dataclass(frozen=True, slots=True)
class Hit:
    """A person near to a probe."""

    person_id: str
    similarity: float
    """Cosine to the person's mean template, -1 to 1."""
    concentration: float = 1.0
    """Length of the mean of the person's unit vectors before it was normalised, 0 to 1."""

    def candidate(self) -> Candidate:
        """As decisions and answers carry it."""
        return Candidate(
            person_id=self.person_id, similarity=self.similarity, distance=1.0 - self.similarity
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A face of a frame as it goes into the decision."""

    fit: bool
    """Detection had nothing against it."""
    embedded: bool
    quality: float
    hits: tuple[Hit, ...] = ()
    """Best first."""
    gallery_size: int = 0
    """Persons that were searched."""
    fused_samples: int = 1
    concentration: float = 1.0
    """Length of the mean of the fused unit vectors before it was normalised, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Searched:
    """What was searched: the model and the version of the gallery."""

    model_id: str
    gallery_version: int


def decide(
    probes: Sequence[Probe], searched: Searched, policy: MatchPolicy
) -> tuple[Decision, ...]:
    """The decisions on the faces of one frame, in order.

    A higher threshold never identifies more faces, and no person is identified twice.
    """
    decisions = [_decide_alone(probe, searched, policy) for probe in probes]
    winners = _winners(decisions)
    return tuple(
        replace(decision, identified=False, person_id=None, reason="taken")
        if decision.person_id is not None and winners[decision.person_id] != index
        else decision
        for index, decision in enumerate(decisions)
    )


def required_similarity(
    policy: MatchPolicy, gallery_size: int, *, probe: float = 1.0, template: float = 1.0
) -> float:
    """The similarity that a match has to reach.

    Averaging brings strangers nearer too: normalising a mean of length c stretches every cosine
    with it by 1/c. Measured on LFW, dividing the threshold for single pictures by the root of
    both lengths keeps FPIR at 1 % whatever was averaged (README).

    Args:
        policy: holds the thresholds for single pictures.
        gallery_size: persons that are searched.
        probe: concentration of the probe, 0 to 1.
        template: concentration of the template, 0 to 1.
    """
    lengths = max(probe * template, 0.25)
    return min(policy.calibration.threshold(gallery_size) / sqrt(lengths), 1.0)


def _decide_alone(probe: Probe, searched: Searched, policy: MatchPolicy) -> Decision:
    best = probe.hits[0] if probe.hits else None
    threshold = required_similarity(
        policy,
        probe.gallery_size,
        probe=probe.concentration,
        template=best.concentration if best else 1.0,
    )
    margin = best.similarity - probe.hits[1].similarity if best and len(probe.hits) > 1 else None
    reason = _reason(probe, threshold, margin, policy)
    return Decision(
        identified=reason == "matched",
        person_id=best.person_id if best and reason == "matched" else None,
        reason=reason,
        similarity=best.similarity if best else None,
        distance=1.0 - best.similarity if best else None,
        threshold=threshold,
        margin=margin,
        margin_limit=policy.calibration.margin,
        candidates=tuple(hit.candidate() for hit in probe.hits[: policy.candidates]),
        model_id=searched.model_id,
        gallery_version=searched.gallery_version,
        gallery_size=probe.gallery_size,
        fused_samples=probe.fused_samples,
    )


def _reason(probe: Probe, threshold: float, margin: float | None, policy: MatchPolicy) -> str:
    if not probe.fit or probe.quality < policy.quality_floor:
        return "low_quality"
    if not probe.embedded:
        return "no_embedding"
    if not probe.hits:
        return "empty_gallery"
    if probe.hits[0].similarity < threshold:
        return "below_threshold"
    if margin is not None and margin < policy.calibration.margin:
        return "ambiguous"
    return "matched"


def _winners(decisions: Sequence[Decision]) -> Mapping[str, int]:
    """For each person the index of the face that comes nearest; the larger face wins a tie."""
    winners: dict[str, int] = {}
    for index, decision in enumerate(decisions):
        if decision.person_id is None:
            continue
        holder = winners.get(decision.person_id)
        if holder is None or _similarity(decision) > _similarity(decisions[holder]):
            winners[decision.person_id] = index
    return winners


def _similarity(decision: Decision) -> float:
    return -1.0 if decision.similarity is None else decision.similarity
