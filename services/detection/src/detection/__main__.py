"""Runs the detection service."""

from detection.main import main

main()
