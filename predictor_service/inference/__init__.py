"""From encoded images to probabilities, in batches."""
