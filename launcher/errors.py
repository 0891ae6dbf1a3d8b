"""The errors of the launcher."""


class LaunchError(Exception):
    """The services can't be started or kept running; the message is printed as it is."""
