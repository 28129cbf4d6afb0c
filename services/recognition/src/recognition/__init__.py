"""Embeds faces, searches the gallery and decides who is seen."""
