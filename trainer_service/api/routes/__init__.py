"""The routes of the trainer API, a file for each kind of thing that it answers about."""
