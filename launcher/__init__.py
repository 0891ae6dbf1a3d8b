"""Starts the services as local processes: `make up` and `make demo`."""
