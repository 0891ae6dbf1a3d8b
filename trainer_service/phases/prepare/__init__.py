"""The prepare phase: the dataset is read, and what has to be computed is planned."""
