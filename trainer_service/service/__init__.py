"""What the trainer API does, as plain functions that know no web framework."""
