"""A registry file of the user's own, laid over ours; every mistake is named."""

from pathlib import Path

import pytest

from mesh.errors import ConfigurationError
from mesh.models import Accuracy, ModelRegistry, open_registry, open_store
from mesh.settings import ModelSettings, load

YOLO = """
[models."yolov8n-face"]
task = "face-detection"
name = "YOLOv8n face"
version = "8.0"
engines = ["onnxruntime"]
decoder = "yolov8-face"
licence = "AGPL-3.0"
commercial = false
accept = "AGPL-3.0"
input = { width = 640, height = 640, multiple = 32, colour = "RGB", scale = 255 }
files = [{ name = "yolov8n-face.onnx" }]
"""
PACK = """
[packs.mine]
detector = "yolov8n-face"
embedder = "omz-face-reid-0095"
objects = []
"""


def own(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "own.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_models_and_packs_of_the_users_own_join_ours(tmp_path: Path) -> None:
    registry = ModelRegistry.load(own(tmp_path, YOLO + PACK))

    model = registry.model("yolov8n-face")
    assert model.input is not None
    assert model.input.scale == (255.0, 255.0, 255.0)
    assert (model.decoder, model.engine, model.bytes) == ("yolov8-face", "onnxruntime", 0)
    pack = registry.pack("mine")
    assert not pack.automatic
    assert pack.for_task("object-detection") == ()
    assert [model.model_id for model in pack.for_task("eye-state")] == ["open-closed-eye-0001"]
    assert "yunet-omz" in registry.packs


def test_a_model_comes_with_the_named_pack_or_another_or_none() -> None:
    registry = ModelRegistry.load()
    models = registry.models
    assert registry.pack_of(models["mobilefacenet-ms1m"], "scrfd-mobilefacenet") == (
        "scrfd-mobilefacenet"
    )
    assert registry.pack_of(models["yunet-2023mar"], "dlib") == "yunet-omz"
    assert registry.pack_of(models["scrfd-500m"], "yunet-omz") == ""


def test_what_was_measured_of_a_model_is_said_with_its_origin(tmp_path: Path) -> None:
    text = '\naccuracy = { map = 0.9, origin = "our gate" }\nmin_face_size = 12\n'
    model = ModelRegistry.load(own(tmp_path, YOLO + text)).model("yolov8n-face")
    assert model.accuracy == Accuracy(map=0.9, origin="our gate")
    assert model.min_face_size == 12
    assert ModelRegistry.load().model("sface-2021dec").accuracy is None


def test_fields_of_our_models_can_be_set(tmp_path: Path) -> None:
    text = '[models."insightface-w600k-r50".thresholds]\n"0.001" = 0.28\n"1e-4" = 0.35\n'
    model = ModelRegistry.load(own(tmp_path, text)).model("insightface-w600k-r50")

    assert model.thresholds == {0.001: 0.28, 0.0001: 0.35}
    assert model.embedding_size == 512


def test_the_settings_name_the_file_and_the_licences(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGHTLINE_MODEL_REGISTRY", str(own(tmp_path, YOLO)))
    monkeypatch.setenv("SIGHTLINE_ACCEPT_LICENCES", "insightface-non-commercial, AGPL-3.0,")
    monkeypatch.setenv("SIGHTLINE_MODELS_DIR", str(tmp_path))
    monkeypatch.setenv("SIGHTLINE_MODELS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "yolov8n-face.onnx").write_bytes(b"weights")
    settings = load(ModelSettings)

    assert settings.accepted_licences == {"insightface-non-commercial", "AGPL-3.0"}
    model = open_registry(settings).model("yolov8n-face")
    assert open_store(settings).locate(model)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('task = "face-detection"', 'task = "faces"', "task: faces is none of face-detection,"),
        ('task = "face-detection"', "", "task: is missing"),
        ('name = "YOLOv8n face"', "name = 1", "name: must be text"),
        ('name = "YOLOv8n face"', 'name = ""', "name: must not be empty"),
        ('["onnxruntime"]', '["tensorflow"]', "engines: tensorflow is none of onnxruntime,"),
        ('["onnxruntime"]', "[]", "engines: must not be empty"),
        ('["onnxruntime"]', "[1]", "engines: must be a text or a list of texts"),
        ('engines = ["onnxruntime"]', "", "engines: is missing"),
        ('decoder = "yolov8-face"', "", "decoder: is missing"),
        ("commercial = false", 'commercial = "no"', "commercial: must be true or false"),
        ("width = 640", "width = -1", "input] width: must be a whole number from 0"),
        ("width = 640", "width = true", "input] width: must be a whole number from 0"),
        ('"RGB"', '"GRB"', "input] colour: GRB is none of BGR, RGB"),
        ("scale = 255", "scale = 0", "input] scale: must not be 0"),
        ("scale = 255", "scale = [1, 2]", "input] scale: must be one number or three"),
        ("scale = 255", 'scale = "1"', "input] scale: must be a number"),
        ("scale = 255", "crop = 0", "input] crop: must be above 0"),
        ("scale = 255", "size = 1", "input] size: is not known here"),
        ("[{ name", "[1, { name", "files: must be a list of tables"),
        ('[{ name = "yolov8n-face.onnx" }]', "[]", "files: must not be empty"),
        ('"yolov8n-face.onnx" }', '"../x.onnx" }', "files.1] name: must be a name"),
        ('onnx" }', 'onnx", sha256 = "1" }', "files.1] sha256: must be 64 hex"),
        ('onnx" }', 'onnx", repository = "a/b" }', "files.1] repository: needs commit"),
        ("decoder =", "decode =", "decode: is not known here"),
        ("accept =", "accepts =", "accepts: is not known here"),
        ('task = "face-detection"', 'task = "face-recognition"', "embedding_size: is missing"),
        (
            'task = "face-detection"',
            'task = "face-recognition"\nembedding_size = 512',
            "alignment: is missing",
        ),
        ('version = "8.0"', 'version = "8.0"\nthresholds = { x = 1 }', "thresholds] x: must be"),
        ('version = "8.0"', 'version = "8.0"\nthresholds = { 2 = 1 }', "thresholds] 2: must be"),
        ('version = "8.0"', 'version = "8.0"\nthresholds = { "0.1" = 2 }', "0.1: must be a cosine"),
        ("decoder =", "accuracy = { map = 0.9 }\ndecoder =", "accuracy] origin: is missing"),
        ("decoder =", 'accuracy = { origin = "x", lfw = 99 }\ndecoder =', "lfw: must be a share"),
        ("decoder =", "min_face_size = 0\ndecoder =", "min_face_size: must be a whole number"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_model_names_file_table_and_field(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert old in YOLO
    with pytest.raises(ConfigurationError) as raised:
        ModelRegistry.load(own(tmp_path, YOLO.replace(old, new)))
    assert f"{tmp_path / 'own.toml'}: [models.yolov8n-face" in str(raised.value)
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"yolov8n-face"', '"absent"', "[packs.mine] detector: there is no model absent"),
        ('"omz-face-reid-0095"', '"yolox-nano"', "embedder: yolox-nano is for object-detection"),
        ('embedder = "omz-face-reid-0095"', "", "embedder: is missing"),
        ("objects = []", "objects = 1", "objects: must be a text or a list of texts"),
        ("objects = []", "things = 1", "things: is not known here"),
    ],
)
def test_a_mistake_in_a_pack_names_file_table_and_field(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    with pytest.raises(ConfigurationError) as raised:
        ModelRegistry.load(own(tmp_path, YOLO + PACK.replace(old, new)))
    assert "own.toml: [packs.mine]" in str(raised.value)
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("models = 1", "own.toml: models is neither"),
        ("[packages.x]", "own.toml: packages is neither"),
        ("models.x = 1", "own.toml: models.x must be a table"),
        ("[models", r"own\.toml: Expected"),
    ],
)
def test_a_file_that_is_no_registry_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        ModelRegistry.load(own(tmp_path, text))


def test_a_file_that_is_not_there_names_the_setting(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"SIGHTLINE_MODEL_REGISTRY: .*absent"):
        ModelRegistry.load(tmp_path / "absent.toml")


def test_a_model_that_nobody_knows_lists_those_that_are_known() -> None:
    with pytest.raises(ConfigurationError, match="no model best, only yunet-2023mar, "):
        ModelRegistry.load().model("best")


def test_every_pack_can_do_every_task_but_names_its_own_two() -> None:
    for pack in ModelRegistry.load().packs.values():
        tasks = {model.task for model in pack.optional}
        assert tasks == {
            "face-landmarks", "eye-state", "head-pose", "object-detection", "liveness", "age-gender"
        }  # fmt: skip
        assert all(model.commercial for model in pack.optional)
