"""Another model: people stay, their stored pictures are embedded again."""

from dataclasses import replace

from mesh.stage import Output
from recognition.domain.embedding import is_zero
from recognition.domain.person import recognisable
from recognition.ports import FaceEmbedder, Registry, RegistryTransaction, Surroundings

_BATCH = 32
_FIRST_BATCHES = 8


class Reembedder:
    """Gives the model in use an embedding of every stored sample."""

    def __init__(self, registry: Registry, embedder: FaceEmbedder, around: Surroundings) -> None:
        self._registry = registry
        self._embedder = embedder
        self._clock = around.clock
        self._topics = around.topics
        self._after = ""

    def run_first(self) -> None:
        """Embed what is missing, if it is little, before the service is ready.

        Raises:
            TransientError: the registry cannot be reached.
        """
        for _ in range(_FIRST_BATCHES):
            if not self.run_batch():
                return

    def run_batch(self) -> int:
        """Embed the next samples that lack an embedding; how many there were.

        Zero ends a pass; the call after it starts the next one. Safe to repeat, and to run in
        several processes.

        Raises:
            TransientError: the registry cannot be reached.
        """
        model_id = self._embedder.info.model_id
        stored = self._registry.unembedded(model_id, after=self._after, limit=_BATCH)
        self._after = stored[-1].face_id if stored else ""
        if not stored:
            return 0
        vectors = self._embedder.embed([one.chip for one in stored])
        readable = [
            (one, vector)
            for one, vector in zip(stored, vectors, strict=True)
            if not is_zero(vector)
        ]
        with self._registry.transaction() as registry:
            for one, vector in readable:
                registry.add_embedding(one.face_id, model_id, vector)
            for person_id in sorted({one.person_id for one, _ in readable}):
                self._refresh(registry, person_id)
        return len(stored)

    def _refresh(self, registry: RegistryTransaction, person_id: str) -> None:
        person = registry.person(person_id)
        if person is None:
            return
        now = self._clock.now()
        after = replace(person, updated_at=now, revision=person.revision + 1)
        registry.save(after)
        registry.refresh_templates(after, recognisable=recognisable(after, now))
        registry.publish(Output(self._topics("persons"), person_id, after))
