"""The library that every Sightline service shares: events, codec, Kafka worker, telemetry."""
