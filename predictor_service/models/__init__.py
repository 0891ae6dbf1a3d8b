"""Chooses and loads the version of each model that is served, and replaces it by a newer one."""
