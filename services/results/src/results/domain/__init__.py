"""Pure rules of results: the frame ledger, and rows from events."""
