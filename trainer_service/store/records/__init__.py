"""Records of trainings and datasets: what they hold, where they lie, and their index in memory."""
