from pathlib import Path

from local.logfile import bound, open_log, tail


def test_a_log_stays_below_its_limit_and_keeps_one_older_part(tmp_path: Path) -> None:
    path = tmp_path / "service.log"
    with open_log(path) as log:
        for number in range(100):
            log.write(f"line {number}\n".encode())
            log.flush()
            bound(path, limit=200)
    assert path.stat().st_size <= 200
    assert path.with_name("service.log.1").stat().st_size <= 220
    assert b"\0" not in path.read_bytes()
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_tail_is_the_last_lines(tmp_path: Path) -> None:
    path = tmp_path / "service.log"
    assert tail(path) == []
    path.write_text("".join(f"{number}\n" for number in range(50_000)))
    assert tail(path, 2) == ["49998", "49999"]
