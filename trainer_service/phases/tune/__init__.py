"""The tune phase: the last layers of the backbone learn on, from the solved head."""
