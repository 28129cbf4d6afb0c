"""The schema `gallery`, step by step; SQL first."""
