"""One module per version; the SQL is in `sql/`."""
