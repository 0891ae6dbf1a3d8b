"""Routes below `/v1/trainings`."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from shared.http.problems import responses
from shared.http.server.draining import Gate
from shared.logs import bind
from trainer_service.api.bodies import (
    Fields,
    parse,
    parse_so_far,
    read_body,
    require_no_dataset,
)
from trainer_service.api.dependencies import CurrentTrainer, IdempotencyKey, raise_on_disconnect
from trainer_service.api.openapi import body_of
from trainer_service.api.routes.pages import PageQuery, link_next
from trainer_service.api.threads import Threads
from trainer_service.requests.lists import ListQuery
from trainer_service.requests.training import TrainingRequest
from trainer_service.service import submission, trainings
from trainer_service.service.trainer import Trainer
from trainer_service.service.two_trainings import TwoTrainings, TwoTrainingsQuery, compare
from trainer_service.store.records.suspects import SuspectPage
from trainer_service.store.records.training_record import TrainingRecord

router = APIRouter(prefix="/v1/trainings", tags=["trainings"])


@router.post(
    "",
    status_code=202,
    responses=responses(404, 409, 413, 415, 422, 503, 507),
    openapi_extra=body_of(TrainingRequest),
)
async def submit_training(
    request: Request,
    response: Response,
    trainer: CurrentTrainer,
    idempotency_key: IdempotencyKey = None,
) -> TrainingRecord:
    """Submit a training: JSON naming a dataset, or multipart with the archive itself."""
    check = partial(_check_before_images, trainer, idempotency_key)
    async with read_body(request, trainer.settings, check) as body:
        training = parse(TrainingRequest, body.fields)
        if body.archive is not None:
            require_no_dataset(body.fields)
        threads: Threads = request.app.state.threads
        record = await threads.submit(
            submission.submit_training,
            trainer,
            training,
            body.archive,
            body.archive_name,
            idempotency_key,
        )
    bind(training_id=record.id, model=record.model)
    response.headers["Location"] = f"/v1/trainings/{record.id}"
    return record


def _check_before_images(trainer: Trainer, key: str | None, fields: Fields) -> None:
    """Refuse a wrong form before its images arrive; more fields may follow them."""
    parse_so_far(TrainingRequest, fields)
    require_no_dataset(fields)
    if isinstance(architecture := fields.get("architecture"), str):
        submission.require_architecture(trainer, architecture, key)
        submission.require_cut(architecture, fields.get("tune"))


@router.get("", responses=responses(422))
def list_trainings(
    trainer: CurrentTrainer, response: Response, query: Annotated[PageQuery, Query()]
) -> list[TrainingRecord]:
    """List trainings, newest first. The header `Link` has the address of the next page, if any.

    Those of a comparison are listed there, and here once they are published.
    Metrics are only totals, the labels are left out if there are more than 64, and no rejected
    files are listed.
    """
    records, after = trainings.list_trainings(trainer, query.limit, query.after)
    link_next(response, query, after)
    return records


@router.get("/{training_id}", responses=responses(404, 422))
async def get_training(
    training_id: str,
    trainer: CurrentTrainer,
    request: Request,
    wait: Annotated[float, Query(ge=0, le=300, description="Seconds to wait for its end.")] = 0,
) -> TrainingRecord:
    """Return a training. With `wait`, answer when it has ended or after that many seconds.

    The answer comes sooner if this service shuts down.
    """
    gate: Gate = request.app.state.gate
    return await trainings.wait_for_training(
        trainer, training_id, wait, gate.wait_until_shut, partial(raise_on_disconnect, request)
    )


@router.get("/{training_id}/compare", responses=responses(404, 409, 422, 503))
async def compare_trainings(
    training_id: str,
    request: Request,
    trainer: CurrentTrainer,
    query: Annotated[TwoTrainingsQuery, Query()],
) -> TwoTrainings:
    """Compare the answers of two trainings to the test images that both have, image by image.

    Their datasets are the same, or were made of the same one. Both are judged by the labels that
    the images have in the newer one.
    """
    threads: Threads = request.app.state.threads
    return await threads.work_on_whole(compare, trainer, training_id, query)


@router.post("/{training_id}/cancel", status_code=202, responses=responses(404, 409, 503, 507))
def cancel_training(training_id: str, trainer: CurrentTrainer) -> TrainingRecord:
    """Cancel a training. The features that have been computed are kept."""
    return trainings.cancel_training(trainer, training_id)


@router.post("/{training_id}/stop", status_code=202, responses=responses(404, 409, 503, 507))
def stop_training(training_id: str, trainer: CurrentTrainer) -> TrainingRecord:
    """End the head phase or the tuning now. The best so far is evaluated and published."""
    return trainings.stop_training(trainer, training_id)


@router.get("/{training_id}/suspects", responses=responses(404, 409, 422))
def list_suspects(
    training_id: str, trainer: CurrentTrainer, query: Annotated[ListQuery, Query()]
) -> SuspectPage:
    """List the images whose label the others contradict, those contradicted most clearly first.

    There are training, validation and test images among them. Up to 1,000 are listed.
    """
    return trainings.get_suspects(trainer, training_id, query)


@router.delete("/{training_id}", status_code=204, responses=responses(404, 409, 503))
def delete_training(training_id: str, trainer: CurrentTrainer) -> None:
    """Remove a training that has ended. The version that it has published stays."""
    trainings.delete_training(trainer, training_id)
