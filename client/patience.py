"""How long the command waits for a trainer that does not answer."""

import time

from client.errors import Unavailable, Unreachable
from client.service import Record, Service

#: How long a trainer may be away, for example while it restarts, before the command gives up.
PATIENCE_SECONDS = 30.0
RETRY_SECONDS = 0.5


def get_patiently(trainer: Service, path: str) -> Record:
    """Return the JSON at a path; if the trainer is away for a moment, wait for it.

    Raises:
        Unreachable: the trainer has not been reached for `PATIENCE_SECONDS`.
        Unavailable: the trainer has answered 503 for `PATIENCE_SECONDS`.
        ClientError: the answer is another error.
    """
    begun = time.monotonic()
    while True:
        try:
            found: Record = trainer.get(path)
        except (Unavailable, Unreachable):
            if time.monotonic() - begun > PATIENCE_SECONDS:
                raise
            time.sleep(RETRY_SECONDS)
        else:
            return found
