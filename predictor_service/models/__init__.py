"""Which version of each model answers, and how a newer one takes its place."""
