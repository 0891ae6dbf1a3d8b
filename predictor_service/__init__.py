"""Serves the newest published version of every model over HTTP."""
