"""The commands that say which version of a model is served."""

from rich.box import SIMPLE_HEAD
from rich.table import Table

from client.options import (
    TRAINER,
    ApiKey,
    AsJson,
    ModelArgument,
    TrainerUrl,
    VersionArgument,
)
from client.printing import add_row, time_in_words
from client.service import Record, model_address, trainer_at
from client.terminal import errors_in_words, open_console, print_json, print_line


def promote_command(
    *,
    model: ModelArgument,
    version: VersionArgument,
    as_json: AsJson = False,
    trainer_url: TrainerUrl = TRAINER,
    api_key: ApiKey = None,
) -> None:
    """Let the predictor serve a version from now on, until another one is promoted."""
    with errors_in_words(as_json=as_json), trainer_at(trainer_url, api_key) as trainer:
        changed = trainer.post(f"{model_address(model)}/promotions", json={"version": version})
    _print(changed, as_json=as_json)


def rollback_command(
    *,
    model: ModelArgument,
    as_json: AsJson = False,
    trainer_url: TrainerUrl = TRAINER,
    api_key: ApiKey = None,
) -> None:
    """Return to the version that was served before the one that is served now."""
    with errors_in_words(as_json=as_json), trainer_at(trainer_url, api_key) as trainer:
        changed = trainer.post(f"{model_address(model)}/rollback")
    _print(changed, as_json=as_json)


def promotions_command(
    *,
    model: ModelArgument,
    as_json: AsJson = False,
    trainer_url: TrainerUrl = TRAINER,
    api_key: ApiKey = None,
) -> None:
    """List which versions were decided to be served, when, by what and why."""
    with errors_in_words(as_json=as_json), trainer_at(trainer_url, api_key) as trainer:
        history = trainer.get(f"{model_address(model)}/promotions")
    if as_json:
        print_json(history)
        return
    table = Table("when", "version", "served", "by", "why", box=SIMPLE_HEAD)
    for one in history["decisions"]:
        served = "yes" if one["served"] else "no"
        when = time_in_words(one["at"])
        add_row(table, when, one["version"], served, one["by"], one["reason"])
    open_console().print(table)
    print_line(_served(history["model"], history))


def _print(model: Record, *, as_json: bool) -> None:
    if as_json:
        print_json(model)
    else:
        print_line(_served(model["name"], model))


def _served(name: str, model: Record) -> str:
    if model["serving"] is None:
        return f"No version of {name} is to be served."
    pinned = ", to which it is pinned" if model["pinned"] == model["serving"] else ""
    return f"Version {model['serving']} of {name} is to be served{pinned}."
