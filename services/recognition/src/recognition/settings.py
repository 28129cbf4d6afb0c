"""What recognition can be told through `SIGHTLINE_*` variables."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

from pydantic import Field

from inference.settings import InferenceSettings
from mesh.errors import ConfigurationError
from mesh.models import ModelRegistry, open_registry
from recognition.domain.calibration import CALIBRATIONS, Calibration, calibration_of
from recognition.domain.enrollment import EnrollmentPolicy
from recognition.domain.fusion import FusionPolicy
from recognition.domain.matching import MatchPolicy
from recognition.ports import GalleryPolicy


class RecognitionSettings(InferenceSettings):
    """Settings of one recognition process."""

    database_url: str = Field(
        "postgresql://postgres@127.0.0.1:5432/postgres",
        description="PostgreSQL with pgvector; the schema `gallery` is recognition's own.",
        repr=False,
    )
    recognition_batch: int = Field(8, ge=1, le=64, description="Frames per batch, at most.")
    recognition_threads: int = Field(
        1, ge=1, le=64, description="Threads of one inference, where the engine has a choice."
    )
    recognition_engine: Literal["auto", "onnxruntime", "openvino", "torch"] | None = Field(
        None, description="Engine of the embedder; that of SIGHTLINE_ENGINE unless set."
    )
    recognition_streams: int = Field(
        1, ge=1, le=64, description="Faces that a CPU works on at once, where the engine can."
    )
    match_candidates: int = Field(5, ge=1, le=100, description="Persons that a decision names.")
    match_quality_floor: float = Field(
        0.2, ge=0, le=1, description="Faces below this quality score get no name."
    )
    fusion_frames: int = Field(
        5, ge=1, le=100, description="Newest pictures of a track that are averaged; 1 is off."
    )
    enrollment_min_face: float = Field(
        48.0, ge=16, le=1000, description="Shorter side of a face to enrol, pixels."
    )
    enrollment_min_sharpness: float = Field(
        15.0, ge=0, le=10_000, description="Sharpness of a face to enrol."
    )
    gallery_max_age_s: float = Field(
        5.0, gt=0, le=300, description="A mirror that was last read longer ago is not searched."
    )
    gallery_mirror_limit: int = Field(
        100_000, ge=0, description="More persons than this are searched by the database's index."
    )

    @property
    def photos(self) -> EnrollmentPolicy:
        """What a photo must be to be enrolled."""
        return EnrollmentPolicy(
            min_face_side=self.enrollment_min_face, min_sharpness=self.enrollment_min_sharpness
        )

    @property
    def gallery_policy(self) -> GalleryPolicy:
        """How the search mirror is kept."""
        return GalleryPolicy(
            max_age_seconds=self.gallery_max_age_s, mirror_limit=self.gallery_mirror_limit
        )

    def matching(self, model_id: str) -> MatchPolicy:
        """What a match has to reach with this model.

        Raises:
            ConfigurationError: nobody measured thresholds for the model.
        """
        return MatchPolicy(
            calibration=self._calibration(model_id),
            quality_floor=self.match_quality_floor,
            candidates=self.match_candidates,
        )

    def fusion(self, model_id: str) -> FusionPolicy:
        """How pictures of a track are averaged with this model.

        Raises:
            ConfigurationError: nobody measured thresholds for the model.
        """
        coherence = self.matching(model_id).calibration.floor
        return FusionPolicy(frames=self.fusion_frames, coherence=coherence)

    def _calibration(self, model_id: str) -> Calibration:
        """Measured on galleries, unless the user's registry file has other thresholds."""
        measured = CALIBRATIONS.get(model_id)
        given = _thresholds(open_registry(self), model_id)
        if measured is not None and given == _thresholds(ModelRegistry.load(), model_id):
            return measured
        try:
            curve = calibration_of(given)
        except ValueError as error:
            raise ConfigurationError(
                f"SIGHTLINE_MODEL_PACK: {model_id} has no measured thresholds: {error}"
            ) from error
        return curve if measured is None else replace(curve, margin=measured.margin)


def _thresholds(registry: ModelRegistry, model_id: str) -> Mapping[float, float]:
    """Of 1:1 comparisons, by false-match rate; empty where the registry has none."""
    model = registry.models.get(model_id)
    return model.thresholds if model else {}
