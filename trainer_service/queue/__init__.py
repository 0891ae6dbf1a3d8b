"""The queue of steps: Celery on Redis, for the trainer API and its workers."""
