"""The command `headstart`: trains, predicts and lists from a terminal."""
