"""Thumbnails: small copies of the large pictures of a dataset, and the file that keeps them."""
