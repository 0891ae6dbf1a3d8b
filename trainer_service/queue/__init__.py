"""Celery and Redis as the trainer API and its workers see them."""
