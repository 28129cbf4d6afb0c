"""The embedded platform: broker, registry, database and services as local processes."""
