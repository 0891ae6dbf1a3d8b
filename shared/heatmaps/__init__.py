"""Heatmaps: which places of a picture speak for a label, and how strongly."""
