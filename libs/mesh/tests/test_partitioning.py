import pytest

from mesh.partitioning import murmur2, partition_of

# From Kafka's own UtilsTest.testMurmur2, as signed numbers.
JAVA = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}


@pytest.mark.parametrize(("data", "expected"), JAVA.items())
def test_the_hash_is_the_one_of_java(data: bytes, expected: int) -> None:
    assert murmur2(data) == expected % 2**32


def test_text_is_hashed_as_utf_8_and_stays_within_the_partitions() -> None:
    assert partition_of("Grüße", 7) == partition_of("Grüße".encode(), 7)
    assert {partition_of(f"cam_{n}", 4) for n in range(100)} == {0, 1, 2, 3}
