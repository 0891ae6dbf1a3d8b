"""Comparisons of architectures and settings: trainings on the same images, and one table."""
