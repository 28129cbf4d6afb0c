from collections.abc import Sequence

from services.recognition.tests.arranging import MODEL_ID, Bench, a_face_of, a_photo, in_memory, per
from typing_extensions import override

from mesh.events import Person
from recognition.adapters.memory import InMemoryGallery, InMemoryRegistry
from recognition.ports import StoredChip


def registry_of(bench: Bench) -> InMemoryRegistry:
    assert isinstance(bench.registry, InMemoryRegistry)
    return bench.registry


def test_people_stay_when_the_model_changes() -> None:
    bench = in_memory()
    bench.enroll(1, 1.0, sequence=1)
    bench.enroll(1, 0.9, 0.1, sequence=2)
    candidate = InMemoryGallery(registry_of(bench), "another-model", bench.clock)
    assert candidate.size() == 0
    reembedder = bench.reembedder("another-model")
    assert [reembedder.run_batch() for _ in range(3)] == [2, 0, 0]
    assert (candidate.size(), bench.gallery.size()) == (1, 1)
    person = registry_of(bench).contents.outbox[-1].event
    assert isinstance(person, Person)
    assert person.person_id == per(1)
    assert [len(face.model_ids) for face in person.faces] == [2, 2]


def test_little_is_embedded_before_the_service_is_ready() -> None:
    bench = in_memory()
    bench.enroll(1, 1.0)
    bench.reembedder("another-model").run_first()
    assert registry_of(bench).unembedded("another-model", after="", limit=9) == []


def test_much_is_left_for_later() -> None:
    bench = in_memory()
    for number in range(300):
        bench.outputs(a_photo(a_face_of(1.0, salt=b"%d" % number), sequence=number))
    bench.reembedder("another-model").run_first()
    assert len(registry_of(bench).unembedded("another-model", after="", limit=99)) == 300 - 8 * 32


def test_nothing_to_do_changes_nothing() -> None:
    bench = in_memory()
    bench.enroll(1, 1.0)
    before = registry_of(bench).contents
    assert bench.reembedder(MODEL_ID).run_batch() == 0
    assert registry_of(bench).contents == before


def test_an_unreadable_or_erased_sample_is_left_out() -> None:
    bench = in_memory()
    bench.enroll(1, 1.0)
    contents = registry_of(bench).contents

    class Stale(InMemoryRegistry):
        @override
        def unembedded(self, model_id: str, *, after: str, limit: int) -> Sequence[StoredChip]:
            ghost = a_face_of(1.0).chip
            unreadable = a_face_of().chip
            assert ghost is not None
            assert unreadable is not None
            return [StoredChip("face_x", per(9), ghost), StoredChip("face_y", per(1), unreadable)]

    stale = Stale(bench.clock)
    stale.contents = contents
    bench.registry = stale
    assert bench.reembedder("another-model").run_batch() == 2
    assert stale.contents.embeddings == contents.embeddings
