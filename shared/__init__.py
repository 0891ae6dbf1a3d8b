"""Code that the trainer and the predictor both import, and nothing else."""

#: The version of trainer, worker and predictor, which are released together (also in pyproject).
__version__ = "0.1.0"
