"""Detection's doors to the world: engines, pictures, tracks."""
