"""Recognition's edges: models and PostgreSQL."""
