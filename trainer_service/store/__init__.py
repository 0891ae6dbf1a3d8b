"""The truth on disk: records, events, progress, keys and the right to work on each of them."""
