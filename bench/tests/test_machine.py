from pathlib import Path

from bench.machine import has_amx, in_words, machine


def test_a_processor_is_told_with_what_it_offers_to_networks(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("model name\t: Some CPU\nflags\t\t: fpu avx2 amx_bf16\n")

    found = machine(cpuinfo)

    assert (found["processor"], found["extensions"]) == ("Some CPU", ["avx2", "amx_bf16"])
    assert has_amx(found)
    assert "Some CPU" in in_words(found)


def test_a_machine_without_that_file_is_still_described(tmp_path: Path) -> None:
    found = machine(tmp_path / "none")

    assert found["processor"] == "unknown"
    assert not has_amx(found)
