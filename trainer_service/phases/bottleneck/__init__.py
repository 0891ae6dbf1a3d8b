"""The bottleneck phase: every image through the backbone once."""
