"""What Headstart is measured against, each as its own guides show it."""
