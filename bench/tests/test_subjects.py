"""What is measured on which device, by a loading that computes nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
import pytest

from bench.bare_engines import Bare, Tensor
from bench.inference import goals, row
from bench.loading import Loading
from bench.material import model_registry, model_store
from bench.rounds import take_turns
from bench.subjects import Subject, Supply, subjects
from mesh.errors import ConfigurationError
from mesh.events import FaceChip, Point
from mesh.models import ModelSpec

NETWORKS = ("scrfd-2.5g", "mobilefacenet-ms1m")
PICTURE = np.zeros((360, 640, 3), np.uint8)
CHIP = FaceChip(
    image=bytes(cv2.imencode(".jpg", np.zeros((224, 224, 3), np.uint8))[1]),
    width=224,
    height=224,
    landmarks=tuple(
        Point(x=x, y=y) for x, y in ((77, 103), (147, 103), (112, 143), (83, 185), (142, 184))
    ),
)


class Counting:
    """A detector or an embedder: what it was given."""

    info: Any = None

    def __init__(self) -> None:
        self.given: list[int] = []

    def detect(self, images: Sequence[Any], *, long_side: int | None = None) -> list[list[Any]]:
        assert long_side is None
        self.given.append(len(images))
        return [[] for _ in images]

    def embed(self, chips: Sequence[FaceChip]) -> Any:
        self.given.append(len(chips))
        return np.zeros((len(chips), 1), np.float32)

    def warm_up(self) -> None:
        raise AssertionError("nobody asked")


@dataclass
class FakeLoading:
    """A machine on whose device some engines run."""

    device: str
    engines: Sequence[str]
    stage: Counting = field(default_factory=Counting)
    tensors: list[tuple[int, ...]] = field(default_factory=list)

    def detector(self, model: ModelSpec, engine: str) -> Counting:
        return self._at_hand(model, engine)

    def embedder(self, model: ModelSpec, engine: str) -> Counting:
        return self._at_hand(model, engine)

    def bare(self, model: ModelSpec, engine: str, item: Tensor) -> Bare:
        self._at_hand(model, engine)
        assert len(item) == 1
        return lambda batch: self.tensors.append(batch.shape)

    def _at_hand(self, model: ModelSpec, engine: str) -> Counting:
        if engine not in self.engines:
            raise ConfigurationError(f"{engine} has no device {self.device} for {model.model_id}")
        return self.stage


def lined_up(loading: FakeLoading) -> tuple[list[Subject], Mapping[str, str]]:
    models = model_registry({}).models
    skipped: dict[str, str] = {}
    supply = Supply([b""], [PICTURE], [CHIP])
    wanted = [models[name] for name in NETWORKS]
    return list(subjects(loading, supply, skipped, models=wanted)), skipped


def test_on_a_gpu_torch_and_onnxruntime_are_measured_and_openvino_is_not() -> None:
    found, skipped = lined_up(FakeLoading("GPU-0", ["onnxruntime", "torch"]))

    assert {(one.model, one.engine, one.device) for one in found} == {
        (model, engine, "GPU-0") for model in NETWORKS for engine in ("onnxruntime", "torch")
    }
    assert set(skipped.values()) == {"openvino runs on the CPU here, not on GPU-0"}


def test_on_a_cpu_torch_is_left_out_and_the_way_to_measure_it_is_said() -> None:
    found, skipped = lined_up(FakeLoading("CPU", ["onnxruntime", "openvino"]))

    assert {one.engine for one in found} == {"onnxruntime", "openvino"}
    assert set(skipped) == {f"{model} on torch" for model in NETWORKS}
    assert all("--device GPU-0" in reason for reason in skipped.values())


def test_without_the_device_every_row_is_left_out_with_what_the_engine_said() -> None:
    found, skipped = lined_up(FakeLoading("GPU-0", []))

    assert not found
    assert skipped["scrfd-2.5g on torch"] == "torch has no device GPU-0 for scrfd-2.5g"
    assert skipped["mobilefacenet-ms1m on onnxruntime"].startswith("onnxruntime has no device")


def test_a_row_of_a_gpu_names_it_and_gives_stage_and_engine_the_same_items() -> None:
    loading = FakeLoading("GPU-0", ["torch"])
    found, _ = lined_up(loading)

    rows = []
    for subject in found:
        works = {name: work for name, work in subject.works(4).items() if name != "decode"}
        turns = take_turns(works | {"decode": lambda: None}, rounds=1, seconds=0.0)
        rows.append(row(subject, 4, turns))

    assert [(one["model"], one["engine"], one["device"]) for one in rows] == [
        (model, "torch", "GPU-0") for model in NETWORKS
    ]
    assert [one["whole"] for one in rows] == [None, "chips to embeddings"]
    faces = rows[-1]
    assert faces["items_per_s"] == pytest.approx(faces["whole_items_per_s"], rel=0.01)
    assert set(loading.stage.given) == {4}
    assert set(loading.tensors) == {(4, 3, 384, 640), (4, 3, 112, 112)}


def test_the_goal_of_the_stages_is_about_the_cpu() -> None:
    report: dict[str, Any] = {"machine": {}, "rows": [{"ratio": 0.1}], "vs_insightface": None}

    assert goals(report | {"device": "CPU"}) == {"stage >= 0.9 of the bare engine": False}
    assert not goals(report | {"device": "GPU-0"})


@pytest.mark.parametrize("engine", ["onnxruntime", "torch"])
def test_a_machine_without_the_device_or_the_file_says_so(engine: str) -> None:
    loading = Loading(store=model_store({}), device="GPU-99")
    model = model_registry({}).model("scrfd-2.5g")

    with pytest.raises(ConfigurationError):
        loading.detector(model, engine)
