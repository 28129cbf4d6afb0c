"""What detection knows without any vendor: geometry, decoding, quality, chips."""
