"""What every source of frames does: sample, number, let wait, and keep account."""
