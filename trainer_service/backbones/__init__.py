"""Pre-trained networks: their catalogue, weights, engines, and the features they compute."""
