"""The worker process: takes steps from the queue, and looks after the store."""
