"""What the trainer and the predictor both import, and nothing else."""
