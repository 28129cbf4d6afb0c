"""What the aggregator decides, as pure functions over events."""
