"""The events and the progress of trainings."""
