"""How many files and connections this process may have open at once."""

import resource

#: For libraries, models, logs and whatever a library opens.
OWN_FILES = 64
#: A request may hold a file beside its connection, or a connection to Redis.
FILES_PER_CONNECTION = 2


def room_for_connections(wanted: int) -> int:
    """Return how many connections leave enough files for everything else, at most `wanted`.

    The soft limit of this process is raised first, as far as that takes and the hard one allows.
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
