"""Cameras and Kafka as they really are."""
