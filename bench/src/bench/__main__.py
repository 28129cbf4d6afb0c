"""`python -m bench BENCHMARK`: one report, one file."""

import argparse
import sys
from pathlib import Path
from typing import Any

from bench import accuracy, api, cameras, fanout, inference, motion, overload, whole
from bench.camera_site import a_broker
from bench.figures import write
from bench.logs import only_warnings
from bench.material import material, model_store
from mesh.errors import MeshError


def main() -> None:
    """Run one benchmark."""
    arguments = _arguments()
    only_warnings()
    try:
        report = arguments.run(arguments)
    except MeshError as error:
        sys.exit(f"bench: {error}")
    write(arguments.out / f"{arguments.benchmark}.json", report)


def _mesh(arguments: argparse.Namespace) -> dict[str, Any]:
    options = whole.Options(
        warm_up=arguments.warm_up,
        seconds=arguments.seconds,
        frames=arguments.frames,
        rounds=arguments.rounds,
        soak_minutes=arguments.soak,
        scales=arguments.scales,
        restart=not arguments.once,
    )
    return whole.measure(material(), options)


def _overload(arguments: argparse.Namespace) -> dict[str, Any]:
    options = overload.Options(
        warm_up=arguments.warm_up, seconds=arguments.seconds, frames=arguments.frames
    )
    return overload.measure(material(), options)


def _fanout(arguments: argparse.Namespace) -> dict[str, Any]:
    options = fanout.Options(
        clients=arguments.clients, rates=arguments.rates, seconds=arguments.seconds
    )
    return fanout.measure(material(), options)


def _api(arguments: argparse.Namespace) -> dict[str, Any]:
    return api.measure(material(), api.Options(rows=arguments.rows, requests=arguments.requests))


def _cameras(arguments: argparse.Namespace) -> dict[str, Any]:
    options = cameras.Options(
        streams=arguments.streams, seconds=arguments.seconds, soak_minutes=arguments.soak
    )
    with a_broker() as broker:
        return cameras.measure(broker, options)


def _motion(arguments: argparse.Namespace) -> dict[str, Any]:
    options = motion.Options(
        warm_up=arguments.warm_up, seconds=arguments.seconds, rounds=arguments.rounds
    )
    return motion.measure(material(), options)


def _accuracy(arguments: argparse.Namespace) -> dict[str, Any]:
    options = accuracy.Options(
        people=arguments.people,
        pairs=arguments.pairs,
        limit=arguments.limit,
        models=tuple(arguments.models),
        threads=arguments.threads,
    )
    return accuracy.measure(model_store(), options)


def _inference(arguments: argparse.Namespace) -> dict[str, Any]:
    options = inference.Options(
        batches=arguments.batches,
        rounds=arguments.rounds,
        seconds=arguments.seconds,
        models=tuple(arguments.models),
        threads=arguments.threads,
        device=arguments.device,
        insightface=not arguments.alone and arguments.device == "CPU",
        soak_minutes=arguments.soak,
    )
    return inference.measure(model_store(), material(), options)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("var/bench"), help="folder of the reports")
    kinds = parser.add_subparsers(dest="benchmark", required=True)
    mesh = kinds.add_parser("mesh", help="latency, saturation, memory and start of the whole mesh")
    mesh.set_defaults(run=_mesh)
    mesh.add_argument("--warm-up", type=float, default=60.0, help="seconds of it before")
    mesh.add_argument("--seconds", type=float, default=30.0, help="of nominal load")
    mesh.add_argument("--frames", type=int, default=400, help="of each run at saturation")
    mesh.add_argument("--rounds", type=int, default=2, help="bare and mesh in turns")
    mesh.add_argument("--scales", type=int, nargs="*", default=[1, 2, 4], help="times 4 cameras")
    mesh.add_argument("--soak", type=float, default=0.0, help="minutes of nominal load at the end")
    mesh.add_argument("--once", action="store_true", help="start the installation only once")
    load = kinds.add_parser("overload", help="three times the capacity, in live cameras")
    load.set_defaults(run=_overload)
    load.add_argument("--warm-up", type=float, default=75.0, help="seconds of nominal load before")
    load.add_argument("--seconds", type=float, default=30.0, help="of each phase")
    load.add_argument("--frames", type=int, default=300, help="that measure the capacity")
    fan = kinds.add_parser("fanout", help="one gateway and very many WebSocket clients")
    fan.set_defaults(run=_fanout)
    fan.add_argument("--clients", type=int, nargs="+", default=[500, 1000], help="so many each")
    fan.add_argument("--rates", type=int, nargs="+", default=[5, 10, 20, 40], help="results/s")
    fan.add_argument("--seconds", type=float, default=5.0, help="of each rate")
    ask = kinds.add_parser("api", help="the live cache and a database of millions of detections")
    ask.set_defaults(run=_api)
    ask.add_argument("--rows", type=int, default=5_000_000, help="detections")
    ask.add_argument("--requests", type=int, default=60, help="of each kind")
    many = kinds.add_parser("cameras", help="RTSP streams into one replica, beside bare PyAV")
    many.set_defaults(run=_cameras)
    many.add_argument(
        "--streams", type=int, nargs="+", default=[100, 40, 16], help="at 5, 15 and 5 frames/s"
    )
    many.add_argument("--seconds", type=float, default=30.0, help="of measuring, each")
    many.add_argument("--soak", type=float, default=0.0, help="minutes of the first at the end")
    gate = kinds.add_parser("motion", help="what a motion gate saves")
    gate.set_defaults(run=_motion)
    gate.add_argument("--warm-up", type=float, default=60.0, help="seconds of load before")
    gate.add_argument("--seconds", type=float, default=30.0, help="of each row")
    gate.add_argument("--rounds", type=int, default=2, help="without and with the gate in turns")
    _accuracy_arguments(kinds.add_parser("accuracy", help="LFW's protocol by model, and counts"))
    _inference_arguments(kinds.add_parser("inference", help="stages beside the bare engines"))
    return parser.parse_args()


def _accuracy_arguments(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=_accuracy)
    parser.add_argument("--people", type=Path, help="folder of pictures of your own people")
    parser.add_argument(
        "--pairs", type=Path, help="CSV image_a,image_b,same_person[,fold]; pairs.csv in the folder"
    )
    parser.add_argument("--limit", type=int, help="pairs, spread evenly; all by default")
    parser.add_argument("--models", nargs="+", default=[], help="embedders, by model_id")
    parser.add_argument("--threads", type=int, default=2, help="of an engine")


def _inference_arguments(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=_inference)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4, 8, 16, 32])
    parser.add_argument("--rounds", type=int, default=5, help="of stage and engine in turns")
    parser.add_argument("--seconds", type=float, default=0.3, help="of each turn, at least")
    parser.add_argument("--models", nargs="+", default=[], help="by model_id")
    parser.add_argument("--threads", type=int, default=1, help="of an engine")
    parser.add_argument("--device", default="CPU", help="of the rows: CPU, GPU-0 and so on")
    parser.add_argument("--alone", action="store_true", help="without stock InsightFace")
    parser.add_argument("--soak", type=float, default=0.0, help="minutes of saturation at the end")


if __name__ == "__main__":
    main()
