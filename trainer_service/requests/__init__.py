"""What a request may say: of a training, of fine-tuning, and of how a dataset is read."""
