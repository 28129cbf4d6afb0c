"""What the topic of persons may hold when a relay's records come late: stale copies anywhere."""

from collections.abc import Sequence

from hypothesis import strategies as st

from mesh.events import Person
from mesh.testing import a_person

PersonRecords = Sequence[Person | None]
"""Registry entries and tombstones in the order of the topic."""


@st.composite
def with_stale_copies(draw: st.DrawFn, person_id: str) -> PersonRecords:
    """A person's history with copies of its records anywhere behind the originals."""
    revisions = range(1, draw(st.integers(1, 4)) + 1)
    history: list[Person | None] = [
        a_person(person_id=person_id, revision=revision, name=f"revision {revision}")
        for revision in revisions
    ]
    if draw(st.booleans()):
        history.append(None)
    records = list(enumerate(history))
    for original in draw(st.lists(st.sampled_from(records), max_size=6)):
        first = records.index(original) + 1
        records.insert(draw(st.integers(first, len(records))), original)
    return [record for _, record in records]


def newest_of(sequence: PersonRecords) -> tuple[int, str]:
    """Revision and name of the newest entry."""
    return max((person.revision, person.name) for person in sequence if person is not None)


def after_tombstone(sequence: PersonRecords) -> PersonRecords:
    """Entries that came after the person was erased."""
    if None not in sequence:
        return []
    return [person for person in sequence[sequence.index(None) :] if person is not None]
