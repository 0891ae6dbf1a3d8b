"""Records of trainings and datasets: their fields, their files, and their index in memory."""
