"""Gateway, writer and keeper: what users read and send."""
