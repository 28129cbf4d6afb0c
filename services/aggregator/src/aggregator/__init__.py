"""Turns recognised frames into results, sightings and snapshots."""
