from pathlib import Path

import pytest

from bench.pairs import pictures, read_pairs, sample
from mesh.errors import ConfigurationError

HEAD = "image_a,image_b,same_person,fold"


def written(folder: Path, *lines: str, head: str = HEAD) -> Path:
    for name in "abcd":
        (folder / f"{name}.jpg").write_bytes(b"")
    file = folder / "pairs.csv"
    file.write_text("\n".join([head, *lines]) + "\n")
    return file


def test_pairs_are_read_with_their_folds(tmp_path: Path) -> None:
    found = read_pairs(written(tmp_path, "a.jpg,b.jpg,1,3", "a.jpg,c.jpg,0,3"), tmp_path)

    assert [(pair.first.name, pair.second.name, pair.same, pair.fold) for pair in found] == [
        ("a.jpg", "b.jpg", True, 3),
        ("a.jpg", "c.jpg", False, 3),
    ]
    assert [path.name for path in pictures(found)] == ["a.jpg", "b.jpg", "c.jpg"]


def test_pairs_without_folds_are_dealt_out_so_that_each_fold_has_both_kinds(
    tmp_path: Path,
) -> None:
    lines = ["a.jpg,b.jpg,1", "a.jpg,c.jpg,0"] * 11
    file = written(tmp_path, *lines, head="image_a,image_b,same_person")

    found = read_pairs(file, tmp_path)

    assert {pair.fold for pair in found} == set(range(1, 11))
    assert sum(pair.fold == 1 for pair in found) == 4


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["a.jpg,b.jpg,1,1", "a.jpg,,0,1"], "line 3: image_b is missing"),
        (["a.jpg,b.jpg,yes,1"], "line 2: same_person is 'yes'"),
        (["a.jpg,b.jpg,1,x"], "line 2: fold is 'x'"),
        (["a.jpg,z.jpg,1,1"], r"line 2: .*z\.jpg does not exist"),
        (["a.jpg,b.jpg,1,1", "a.jpg,c.jpg,0,2"], "fold 1 needs"),
        ([], "fold 1 needs"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_with_its_place(
    tmp_path: Path, lines: list[str], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        read_pairs(written(tmp_path, *lines), tmp_path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"none\.csv cannot be read"):
        read_pairs(tmp_path / "none.csv", tmp_path)


def test_a_sample_keeps_every_fold_and_kind_alike(tmp_path: Path) -> None:
    lines = [f"a.jpg,b.jpg,{same},{fold}" for same in (0, 1) for fold in (1, 2) for _ in range(9)]
    found = read_pairs(written(tmp_path, *lines), tmp_path)

    chosen = sample(found, 12)

    assert len(chosen) == 12
    assert sum(pair.same for pair in chosen) == 6
    assert sum(pair.fold == 1 for pair in chosen) == 6
    assert sample(found, None) == found
    assert sample(found, 1000) == found
