"""The HTTP layer of both services: start and end, access, limits, errors, metrics and pages."""
