"""Images: which formats are read, and how their bytes become pixels, for training and serving."""
