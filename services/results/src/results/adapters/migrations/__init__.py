"""The schema of results, version by version."""
