"""Trains classifiers: the HTTP API, the Celery worker and the phases of a training."""
