"""What keeps the services from starting, in a sentence."""


class LaunchError(Exception):
    """Printed as it is; no traceback would tell the user more."""
