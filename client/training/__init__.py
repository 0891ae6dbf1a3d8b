"""What `headstart train` does: uploads images, posts the training once, follows and shows it."""
