"""`python -m tests.chaos`: round after round of faults, from a seed that is printed first."""

import argparse
import os
import secrets
import sys
import tempfile
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from tests.chaos.auditor import Patience
from tests.chaos.schedule import STAGES, fault
from tests.chaos.site import HASTY, Site
from tests.chaos.trial import Load, Trial, keep
from tests.e2e.observer import Mesh, enrol

from local.layout import state_root
from local.sample import prepare

INSTANCES = dict.fromkeys((*STAGES, "gateway"), 2)


def main() -> None:
    """Run a schedule; ends with 1 if a round had problems."""
    arguments = _arguments()
    last = arguments.first + arguments.rounds - 1
    _say(f"seed {arguments.seed}, rounds {arguments.first} to {last}")
    until = time.monotonic() + 60 * arguments.minutes
    with tempfile.TemporaryDirectory(prefix="sightline-chaos-", ignore_cleanup_errors=True) as root:
        site = Site(
            Path(root),
            instances=INSTANCES,
            environment=_environment(),
            report=_say,
            s3=arguments.s3,
        )
        with site, closing(Mesh(site)) as mesh:
            store = "a small file system" if site.bounded else "a folder"
            _say(f"object store: {'an S3 server over ' if arguments.s3 else ''}{store}")
            sample = prepare(state_root(os.environ), _say)
            enrol(mesh, sample.person_name, sample.portrait.read_bytes())
            load = Load(fps=arguments.fps)
            with Trial(site, mesh, sample, load=load, patience=Patience()) as trial:
                bad = _rounds(trial, site, arguments, until)
    _say(f"seed {arguments.seed}: {f'problems in {bad}' if bad else 'no problems'}")
    sys.exit(bool(bad))


def _rounds(
    trial: Trial, site: Site, arguments: argparse.Namespace, until: float
) -> list[int | str]:
    """Run them; returns those that had problems."""
    report = arguments.report / f"{arguments.seed}.jsonl"
    bad: list[int | str] = []
    for number in range(arguments.first, arguments.first + arguments.rounds):
        if time.monotonic() > until:
            _say(f"out of time before round {number}")
            break
        found = trial.round(number, fault(arguments.seed, number, tuple(site.specs)))
        keep(report, found, site)
        _say(found.line())
        bad += [number] if found.problems else []
    book, problems = trial.rest()
    _say(f"at rest: {book} {'; '.join(problems) or 'ok'}")
    return [*bad, "rest"] if problems else bad


def _environment() -> dict[str, str]:
    """The faster pack where its files are."""
    pack = "yunet-omz" if os.environ.get("SIGHTLINE_MODELS_DIR") else "dlib"
    return {"SIGHTLINE_MODEL_PACK": pack, **HASTY}


def _say(line: str) -> None:
    sys.stdout.write(f"{datetime.now(UTC):%H:%M:%S} {line}\n")
    sys.stdout.flush()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1 << 32))
    parser.add_argument("--rounds", type=int, default=10, help="how many")
    parser.add_argument("--first", type=int, default=0, help="number of the first")
    parser.add_argument("--minutes", type=float, default=600, help="begin no round after so long")
    parser.add_argument("--fps", type=float, default=2.0, help="of each of the four cameras")
    parser.add_argument("--s3", action="store_true", help="keep pictures in a real S3 server")
    parser.add_argument("--report", type=Path, default=Path("var/chaos"), help="folder of reports")
    return parser.parse_args()


if __name__ == "__main__":
    main()
