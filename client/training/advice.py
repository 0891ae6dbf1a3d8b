"""Says how to try what was published."""

from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from client.errors import ClientError
from client.printing import curl_line
from client.service import Record, Service, predictor_at, trainer_at
from client.terminal import plain, print_line
from client.training.training import served

#: The predictor looks for new versions every second and then loads them.
SERVED_SECONDS = 15


class Services(NamedTuple):
    """The addresses of the services, and a key if they ask for one."""

    trainer_url: str
    predictor_url: str
    api_key: str | None

    def trainer(self) -> Service:
        """Return a connection to the trainer."""
        return trainer_at(self.trainer_url, self.api_key)

    def predictor(self) -> Service:
        """Return a connection to the predictor."""
        return predictor_at(self.predictor_url, self.api_key)


def print_advice(services: Services, record: Record, sample: Path | None, console: Console) -> None:
    """Wait a little until a version is served, and print a command to try it with.

    Args:
        services: the services.
        record: of what has published the version.
        sample: a picture to try it with; None if none is known.
        console: the console to print to.
    """
    url = services.predictor_url
    try:
        with services.predictor() as predictor:
            ready = served(predictor, record, SERVED_SECONDS)
        other = f"The predictor at {url} does not serve this version. To try it, once it is served:"
        advice = "Try it:" if ready else other
    except ClientError as error:
        advice = f"{error} To try the model, once the predictor answers:"
    console.print(plain(advice))
    # One unbroken line, so that it can be copied.
    print_line(curl_line(url, record["model"], sample, with_key=bool(services.api_key)))
