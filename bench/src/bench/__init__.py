"""Benchmarks of Sightline."""
