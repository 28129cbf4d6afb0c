"""Starts the camera service."""

from camera.main import main

main()
