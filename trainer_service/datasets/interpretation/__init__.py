"""Finds out what the names and the tables of a dataset say of its images: pure Python, no I/O."""
