"""Turns encoded images into probabilities, in batches."""
