"""The evaluation of a trained classifier on images that it has not seen."""
