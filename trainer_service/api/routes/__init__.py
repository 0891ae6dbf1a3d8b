"""The routes of the trainer API, one module for each kind of resource."""
