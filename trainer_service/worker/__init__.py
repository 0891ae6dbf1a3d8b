"""The worker process: runs steps from the queue, and maintains the store."""
