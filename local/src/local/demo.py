"""The demo: an installation with one camera and, for the sample, one enrolled person."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from local.download import Report
from local.gateway import Gateway
from local.installation import Installation, Plan
from local.keys import write_private
from local.layout import Layout
from local.network import prefer
from local.packs import demo_pack, describe, live_fps
from local.sample import Sample, prepare
from local.settings import LocalSettings
from local.source import Source, of_camera, of_clip, of_sample
from mesh.models import Pack


class Demo:
    """Starts an installation and shows something in it.

    Args:
        settings: The platform's settings.
        report: Takes progress lines.
    """

    def __init__(self, settings: LocalSettings, report: Report) -> None:
        self._settings = settings
        self._report = report
        self._layout = Layout.at(settings.var)
        self._memory = _Memory(self._layout.data / "demo.json")
        store = settings.store(self._layout.cache / "models")
        self.pack = demo_pack(
            wanted=settings.model_pack,
            enrolled=self._memory.read().get("pack"),
            registry=settings.registry,
            store=store,
            report=report,
        )
        for line in describe(self.pack, store):
            report(f"  {line}")
        self._sample: Sample | None = None
        self._source = self._choose(settings)
        self.installation = Installation(_plan(settings, self._layout, self.pack), report)

    def _choose(self, settings: LocalSettings) -> Source:
        if settings.demo_camera is not None:
            return of_camera(settings.demo_camera.get_secret_value())
        if settings.demo_video is not None:
            return of_clip(settings.demo_video)
        sample = prepare(self._layout.root, self._report)
        self._sample = sample
        return of_sample(sample.video, sample.fps, prefer(None), self._report)

    def start(self) -> None:
        """Starts everything, registers camera and person and writes `demo.json`."""
        if self._source.process is not None:
            self.installation.supervisor.add([self._source.process])
        self.installation.start()
        token = self.installation.token()
        with Gateway(self.installation.url, token) as gateway:
            self._register_camera(gateway)
            if self._sample is not None:
                self._enrol(gateway, self._sample)
        self._memory.add(pack=self.pack.name)
        entry = {"url": self.installation.url, "token": token}
        write_private(self._layout.demo, json.dumps(entry, indent=1) + "\n")

    def _register_camera(self, gateway: Gateway) -> None:
        fps = self._settings.demo_fps or live_fps(self.pack.name, self._source.fps)
        body = {
            "name": self._source.name,
            "stream_config": dict(self._source.stream),
            "detection_config": {"enabled": True, "fps_limit": fps},
        }
        known = self._memory.read().get("camera_id")
        if known and gateway.has(f"/cameras/{known}"):
            gateway.change(f"/cameras/{known}", body)
            return
        self._report(f"Registering the camera {self._source.name}")
        self._memory.add(camera_id=_id(gateway.create("/cameras", body), "camera_id"))

    def _enrol(self, gateway: Gateway, sample: Sample) -> None:
        """Enrols the sample's person once per pack; whom the user erased stays erased."""
        known = self._memory.read()
        if known.get("enrolled") == self.pack.name:
            return
        consent = {"status": "granted", "document_version": "public domain portrait"}
        person = known.get("person_id")
        if person is None:
            self._report(f"Enrolling {sample.person_name}")
            body = {"name": sample.person_name, "consent": consent}
            person = _id(gateway.create("/persons", body), "person_id")
            self._memory.add(person_id=person)
            gateway.await_resource(f"/persons/{person}")
        if gateway.has(f"/persons/{person}"):
            gateway.upload(f"/persons/{person}/faces", sample.portrait, consent)
        self._memory.add(enrolled=self.pack.name)


class _Memory:
    """What the demo remembers between runs."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> dict[str, str]:
        try:
            entry = json.loads(self._path.read_text())
        except (OSError, ValueError):
            return {}
        return {str(name): str(value) for name, value in entry.items()}

    def add(self, **entries: str) -> None:
        write_private(self._path, json.dumps(self.read() | entries))


def _plan(settings: LocalSettings, layout: Layout, pack: Pack) -> Plan:
    models = {"SIGHTLINE_MODEL_PACK": pack.name}
    if settings.models_dir is not None:
        models["SIGHTLINE_MODELS_DIR"] = str(settings.models_dir.expanduser().resolve())
    if settings.model_registry is not None:
        models["SIGHTLINE_MODEL_REGISTRY"] = str(settings.model_registry.expanduser().resolve())
    return Plan(
        layout=layout,
        gateway_port=settings.gateway_port,
        instances=settings.instances,
        environment=models,
    )


def _id(answer: Mapping[str, Any], name: str) -> str:
    return str(answer[name])


def summary(layout: Layout) -> list[str]:
    """What a person needs to know of the running demo; empty if none is described."""
    try:
        entry = json.loads(layout.demo.read_text())
        url, token = str(entry["url"]), str(entry["token"])
    except (OSError, ValueError, KeyError):
        return []
    return [
        "",
        "Sightline is running.",
        f"  page   {url}/#token={token}",
        f"  token  {token}",
        f"  curl   curl -H 'Authorization: Bearer {token}' {url}/api/v1/detections/live",
        f"  logs   {layout.log}",
        "",
    ]
