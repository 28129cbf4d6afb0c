"""Runs one role: `python -m results gateway|writer|keeper`."""

from results.main import main

main()
