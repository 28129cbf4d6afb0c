"""`python -m bench mesh|overload|fanout|api`: each is one report and one file."""

import argparse
import sys
from pathlib import Path
from typing import Any

from bench import api, fanout, overload, whole
from bench.figures import write
from bench.material import material
from mesh.errors import MeshError


def main() -> None:
    """Run one benchmark."""
    arguments = _arguments()
    try:
        report = arguments.run(arguments)
    except MeshError as error:
        sys.exit(f"bench: {error}")
    write(arguments.out / f"{arguments.benchmark}.json", report)


def _mesh(arguments: argparse.Namespace) -> dict[str, Any]:
    options = whole.Options(
        seconds=arguments.seconds,
        frames=arguments.frames,
        rounds=arguments.rounds,
        soak_minutes=arguments.soak,
        scales=arguments.scales,
        restart=not arguments.once,
    )
    return whole.measure(material(), options)


def _overload(arguments: argparse.Namespace) -> dict[str, Any]:
    options = overload.Options(seconds=arguments.seconds, frames=arguments.frames)
    return overload.measure(material(), options)


def _fanout(arguments: argparse.Namespace) -> dict[str, Any]:
    options = fanout.Options(
        clients=arguments.clients, rates=arguments.rates, seconds=arguments.seconds
    )
    return fanout.measure(material(), options)


def _api(arguments: argparse.Namespace) -> dict[str, Any]:
    return api.measure(material(), api.Options(rows=arguments.rows, requests=arguments.requests))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("var/bench"), help="folder of the reports")
    kinds = parser.add_subparsers(dest="benchmark", required=True)
    mesh = kinds.add_parser("mesh", help="latency, saturation, memory and start of the whole mesh")
    mesh.set_defaults(run=_mesh)
    mesh.add_argument("--seconds", type=float, default=30.0, help="of nominal load")
    mesh.add_argument("--frames", type=int, default=400, help="of each run at saturation")
    mesh.add_argument("--rounds", type=int, default=2, help="bare and mesh in turns")
    mesh.add_argument("--scales", type=int, nargs="*", default=[1, 2, 4], help="times 4 cameras")
    mesh.add_argument("--soak", type=float, default=0.0, help="minutes of nominal load at the end")
    mesh.add_argument("--once", action="store_true", help="start the installation only once")
    load = kinds.add_parser("overload", help="three times the capacity, in live cameras")
    load.set_defaults(run=_overload)
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
    return parser.parse_args()


if __name__ == "__main__":
    main()
