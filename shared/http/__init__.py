"""The web shell of both services: how they start, answer, guard themselves and are measured."""
