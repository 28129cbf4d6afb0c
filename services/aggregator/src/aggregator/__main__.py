"""`python -m aggregator` runs one aggregator process."""

from aggregator.main import main

main()
