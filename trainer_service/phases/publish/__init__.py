"""Publishing: from a trained head to a version in the model store."""
