"""Connects to cameras and publishes sampled frames."""
