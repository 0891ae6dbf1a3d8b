"""Starts the services (`python -m launcher up`) or the demo (`python -m launcher demo`)."""

import argparse
import signal
from pathlib import Path
from types import FrameType

from pydantic import ValidationError

from client.errors import ClientError
from client.terminal import printable
from launcher.demo import demo
from launcher.errors import LaunchError
from launcher.services import running_services
from launcher.supervisor import supervise
from predictor_service.settings import PredictorSettings
from shared.documents import reason
from shared.start import describe, fail, require_writable
from trainer_service.settings import TrainerSettings


def run() -> int:
    """Run the command of the command line, and return the exit status.

    Raises:
        KeyboardInterrupt: a signal asked the launcher to end.
    """
    arguments = _parser().parse_args()
    _handle_signals()
    try:
        trainer, predictor = TrainerSettings(), PredictorSettings()
        directory = _directory(trainer)
        require_writable(directory)
        if arguments.command == "demo":
            demo(trainer, predictor, directory, arguments.data, arguments.architecture)
        else:
            _up(trainer, predictor, directory)
    except (LaunchError, ClientError) as error:
        return fail(printable(error))
    except ValidationError as error:
        return fail(describe(error.errors()[0]))
    except OSError as error:  # e.g. a log of the launcher that another user owns
        named = f"{error.filename}: " if error.filename else ""
        return fail(printable(f"{named}{reason(error)}."))
    return 0


def _up(trainer: TrainerSettings, predictor: PredictorSettings, directory: Path) -> None:
    if trainer.datasets is None:
        trainer = trainer.model_copy(update={"datasets": Path("datasets").absolute()})
    print("Starting Redis, trainer, worker and predictor ...", flush=True)
    with running_services(trainer, predictor, directory) as services:
        print(f"trainer    {services.trainer}")
        print(f"predictor  {services.predictor}")
        print(f"logs       {services.logs}")
        print("Ctrl-C stops all of it.", flush=True)
        supervise(services.processes)


def _directory(trainer: TrainerSettings) -> Path:
    """Return the directory for logs and Redis' files: `var/`, or the store if that was set."""
    store = trainer.store.absolute()
    return store if "store" in trainer.model_fields_set else store.parent


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="launcher", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="start the services and keep them running")
    demo_parser = commands.add_parser("demo", help="train a classifier and try it")
    demo_parser.add_argument("--data", type=Path, help="folder or archive of labelled images")
    demo_parser.add_argument("--architecture", help="the backbone to train on")
    return parser


def _handle_signals() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    # nohup ignores SIGHUP, and that must stay so.
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        signal.signal(signal.SIGHUP, _interrupt)


def _interrupt(_: int, __: FrameType | None) -> None:
    raise KeyboardInterrupt
