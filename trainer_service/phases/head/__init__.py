"""The head phase: a small classifier is trained on the bottleneck features."""
