"""The routes of the trainer API: each translates a request into one call of `service`."""
