"""The command `headstart pretrained`."""

import shlex

import typer
from rich.console import Console

from client import options
from client.options import PREDICTOR, TRAINER, Fields, given, trainer_option
from client.service import Record
from client.terminal import (
    counted,
    errors_in_words,
    open_console,
    plain,
    print_json,
    print_line,
    print_note,
)
from client.training.advice import Services, print_advice
from client.training.once import post_once
from client.training.training import follow


def pretrained_command(  # noqa: PLR0913 - each is an option
    *,
    name: options.NewModel,
    architecture: options.Pretrained,
    classes: options.Classes = None,
    group: options.Groups = None,
    rest: options.Rest = None,
    no_rest: options.NoRest = False,
    detach: options.Detach = False,
    as_json: options.AsJson = False,
    trainer_url: options.TrainerUrl = TRAINER,
    predictor_url: options.PredictorUrl = PREDICTOR,
    api_key: options.ApiKey = None,
) -> None:
    """Publish a pre-trained network as it is: it tells the 1,000 classes of ImageNet apart."""
    fields = given(name=name, pretrained=architecture, classes=_chosen(classes, group))
    fields |= _rest(rest, without=no_rest)
    services = Services(trainer_url, predictor_url, api_key)
    console = open_console(quiet=as_json)
    with errors_in_words(as_json=as_json):
        with services.trainer() as trainer:
            record = post_once(trainer, "/v1/models", json=fields)
        if not detach:
            record = _follow(services, record, console)
    if as_json:
        print_json(record)
    elif detach:
        print_line(f"Job {record['id']} is {record['state']}.")
    else:
        _print_published(record, console)
        print_advice(services, record, None, console)


def _chosen(classes: str | None, groups: list[str] | None) -> Fields | list[str] | None:
    """Return the field `classes`: a list, or the classes of each label."""
    if classes is not None and groups:
        raise typer.BadParameter("expected either --classes or --group, but not both.")
    if classes is not None:
        return _names(classes)
    return dict(map(_group, groups)) if groups else None


def _group(text: str) -> tuple[str, list[str]]:
    label, equals, classes = text.partition("=")
    if not equals:
        raise typer.BadParameter(f"--group: expected LABEL=CLASSES. Received: {text!r}.")
    return label.strip(), _names(classes)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _rest(rest: str | None, *, without: bool) -> Fields:
    """Return the field `rest`, which is null if there is to be no label for the rest."""
    if without and rest is not None:
        raise typer.BadParameter("expected either --rest or --no-rest, but not both.")
    return {"rest": None} if without else given(rest=rest)


def _follow(services: Services, record: Record, console: Console) -> Record:
    try:
        with services.trainer() as trainer:
            return follow(trainer, record["id"], console)
    except KeyboardInterrupt:
        other = trainer_option(services.trainer_url)
        command = shlex.join(["headstart", "cancel", record["id"], *other])
        print_note(f"It is published all the same. To end that: `{command}`.")
        raise


def _print_published(record: Record, console: Console) -> None:
    """Print what was published, and what it can't do."""
    for line in (record["head"]["detail"], record["unknown"]["detail"]):
        console.print(plain(line), soft_wrap=True)
    named = len(record["pretrained"]["classes"] or ())
    what = counted(named, "label") if named else "the 1,000 classes of ImageNet"
    console.print(
        plain(
            f"{record['architecture']} as it was pre-trained, with {what}, published as "
            f"{record['model']} version {record['version']}."
        ),
        soft_wrap=True,
    )
