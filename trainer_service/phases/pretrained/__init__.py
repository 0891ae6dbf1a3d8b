"""Publishes a pre-trained network with its own classifier for ImageNet; nothing is trained."""
