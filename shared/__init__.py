"""What the trainer and the predictor both import, and nothing else."""

#: Of trainer, worker and predictor, which are released together; pyproject.toml says the same.
__version__ = "0.1.0"
