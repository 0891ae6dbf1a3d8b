"""What has happened to a training, and how far it is."""
