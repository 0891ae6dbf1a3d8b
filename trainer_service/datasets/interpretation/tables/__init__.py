"""Tables that come with a dataset, and what they say of its images."""
