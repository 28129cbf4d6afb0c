"""What a stream is, without cameras and without a broker."""
