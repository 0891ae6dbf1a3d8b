"""Finds out how many connections this process can have open at once."""

import resource

#: Reserved for libraries, models and logs.
OWN_FILES = 64
#: A request may need a file, or a connection to Redis, beside its own connection.
FILES_PER_CONNECTION = 2


def room_for_connections(wanted: int) -> int:
    """Return how many connections leave enough open files for everything else.

    The process's soft limit of open files is raised first, as far as needed and as far as the hard
    limit allows.

    Args:
        wanted: the largest number to return.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = OWN_FILES + FILES_PER_CONNECTION * wanted
    if _is_below(soft, needed):
        soft = hard if _is_below(hard, needed) else needed
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if not _is_below(soft, needed):
        return wanted
    return max(1, (soft - OWN_FILES) // FILES_PER_CONNECTION)


def _is_below(limit: int, needed: int) -> bool:
    return limit != resource.RLIM_INFINITY and limit < needed
