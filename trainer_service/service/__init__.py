"""The operations of the trainer API, as plain functions independent of the web framework."""
