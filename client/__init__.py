"""The command `headstart`, with which a terminal trains, predicts, and lists models."""
