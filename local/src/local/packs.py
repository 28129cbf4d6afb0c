"""Which model pack the demo runs with."""

from collections.abc import Mapping

from local.download import Report
from mesh.errors import ConfigurationError
from mesh.models import ModelRegistry, ModelSpec, ModelStore, Pack, choose_pack

_LIVE_FPS = {"dlib": 1.0}
"""Frames per second that two cores keep up with; what is not named takes `_FAST`."""
_FAST = 4.0


def demo_pack(
    *,
    wanted: str | None,
    enrolled: str | None,
    registry: ModelRegistry,
    store: ModelStore,
    report: Report,
) -> Pack:
    """The pack to use: the one asked for, the one people were enrolled with, or the best at hand.

    Args:
        wanted: The pack that the user names.
        enrolled: The pack that this platform's people were enrolled with.
        registry: The models and packs that there are.
        store: Where files lie and come to.
        report: Takes progress lines.

    Raises:
        ConfigurationError: No pack can be had, or not the one asked for.
    """
    if wanted is not None:
        return _complete(registry.pack(wanted), store, report)
    if enrolled is not None:
        try:
            return _complete(registry.pack(enrolled), store, report)
        except ConfigurationError as error:
            report(f"people were enrolled with the pack {enrolled}, which cannot be had: {error}")
            report("another pack is used; those people must be enrolled again to be recognised")
    return choose_pack(registry, store, report)


def _complete(pack: Pack, store: ModelStore, report: Report) -> Pack:
    for model in pack.models:
        store.fetch(model, report)
        store.locate(model)
    return pack


def describe(pack: Pack, store: ModelStore) -> list[str]:
    """The pack, its models and the optional ones at hand, with engine and licence, a line each."""
    lines = [f"model pack {pack.name}"]
    lines += [f"  {_line(model)}" for model in pack.models]
    lines += [f"  {_line(model)}, optional, at hand" for model in store.optional(pack)]
    return lines


def _line(model: ModelSpec) -> str:
    use = "" if model.commercial else ", not for commercial use"
    return f"{model.task}: {model.name} {model.version} ({model.engine}, {model.licence}{use})"


def live_fps(pack: str, video_fps: float, speeds: Mapping[str, float] = _LIVE_FPS) -> float:
    """The frame rate at which a page stays live on two cores with this pack."""
    return min(video_fps, speeds.get(pack, _FAST))
