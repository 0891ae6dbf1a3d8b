"""Routes below `/v1/datasets`."""

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

from shared.errors import InvalidRequest
from shared.problems import responses
from trainer_service import service
from trainer_service.endpoints.bodies import ARCHIVE_FIELD, parse, read_body
from trainer_service.endpoints.dependencies import CurrentTrainer
from trainer_service.endpoints.openapi import body_of
from trainer_service.schemas import DatasetPath, DatasetRecord

router = APIRouter(prefix="/v1/datasets", tags=["datasets"])


@router.post(
    "",
    status_code=202,
    responses=responses(413, 415, 422, 503),
    openapi_extra=body_of(DatasetPath),
)
async def submit_dataset(
    request: Request, response: Response, trainer: CurrentTrainer
) -> DatasetRecord:
    """Submit an archive (multipart field `archive`), or name a path below the datasets directory.

    The images are read by a worker; follow `Location` until `state` is `ready` or `failed`.
    """
    async with read_body(request, trainer.settings) as body:
        if body.archive is None:
            path = parse(DatasetPath, body.fields).path
            record = await run_in_threadpool(service.submit_dataset, trainer, None, path)
        elif body.fields:
            raise InvalidRequest(
                f"expected nothing beside the file {ARCHIVE_FIELD!r}. "
                f"Received: {', '.join(sorted(body.fields))}"
            )
        else:
            record = await run_in_threadpool(
                service.submit_dataset, trainer, body.archive, body.archive_name
            )
    response.headers["Location"] = f"/v1/datasets/{record.id}"
    return record


@router.get("")
def list_datasets(trainer: CurrentTrainer) -> list[DatasetRecord]:
    """List all datasets, the newest first."""
    return trainer.stores.datasets.list()


@router.get("/{dataset_id}", responses=responses(404))
def get_dataset(dataset_id: str, trainer: CurrentTrainer) -> DatasetRecord:
    """Tell a dataset's labels, counts, and the verdict on every image that was rejected."""
    return trainer.stores.datasets.get(dataset_id)
