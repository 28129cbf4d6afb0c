"""Finds faces in frames and cuts face chips."""
