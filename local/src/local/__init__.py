"""The embedded platform: broker, registry, database, sample camera and supervisor as local processes."""
