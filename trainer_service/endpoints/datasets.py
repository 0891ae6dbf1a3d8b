"""Routes below `/v1/datasets`."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import FileResponse

from shared.errors import InvalidRequest
from shared.logs import bind
from shared.problems import responses
from trainer_service import service
from trainer_service.dataset_images import DatasetImagePage, ImageQuery
from trainer_service.endpoints.bodies import ARCHIVE_FIELD, FOLDER_FIELD, parse, read_body
from trainer_service.endpoints.dependencies import CurrentTrainer, IdempotencyKey
from trainer_service.endpoints.openapi import body_of
from trainer_service.endpoints.threads import Threads
from trainer_service.schemas import DatasetPath, DatasetRecord

Sha256 = Annotated[str, Path(pattern="^[0-9a-f]{64}$")]

#: Opened by itself, a picture can neither run nor load anything, whatever its bytes say.
IMAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; sandbox",
    # The address holds the hash: what it names never changes.
    "Cache-Control": "private, max-age=31536000, immutable",
}

router = APIRouter(prefix="/v1/datasets", tags=["datasets"])


@router.post(
    "",
    status_code=202,
    responses=responses(409, 413, 415, 422, 503, 507),
    openapi_extra=body_of(DatasetPath),
)
async def submit_dataset(
    request: Request,
    response: Response,
    trainer: CurrentTrainer,
    idempotency_key: IdempotencyKey = None,
) -> DatasetRecord:
    """Submit an archive (multipart field `archive`), a folder (`files`), or name a path.

    The files of a folder come each with its relative path for a file name; a path is one below the
    datasets directory of the trainer's machine.
    The images are read by a worker; follow `Location` until `state` is `ready` or `failed`.
    """
    threads: Threads = request.app.state.threads
    async with read_body(request, trainer.settings) as body:
        if body.archive is None:
            path = parse(DatasetPath, body.fields).path
            record = await threads.submit(
                service.submit_dataset, trainer, None, path, idempotency_key
            )
        elif body.fields:
            raise InvalidRequest(
                f"expected nothing beside {ARCHIVE_FIELD!r} or {FOLDER_FIELD!r}. "
                f"Received: {', '.join(sorted(body.fields))}"
            )
        else:
            record = await threads.submit(
                service.submit_dataset,
                trainer,
                body.archive,
                body.archive_name,
                idempotency_key,
            )
    bind(dataset_id=record.id)
    response.headers["Location"] = f"/v1/datasets/{record.id}"
    return record


@router.get("")
def list_datasets(trainer: CurrentTrainer) -> list[DatasetRecord]:
    """List all datasets, the newest first."""
    return trainer.stores.datasets.list()


@router.delete("/{dataset_id}", status_code=204, responses=responses(404, 409))
def delete_dataset(dataset_id: str, trainer: CurrentTrainer) -> None:
    """Remove a dataset that no training needs any more, and its images."""
    service.delete_dataset(trainer, dataset_id)


@router.get("/{dataset_id}", responses=responses(404))
def get_dataset(dataset_id: str, trainer: CurrentTrainer) -> DatasetRecord:
    """Tell a dataset's labels, counts, and the verdict on every image that was rejected."""
    return trainer.stores.datasets.get(dataset_id)


@router.get("/{dataset_id}/images", responses=responses(404, 409, 422))
def list_images(
    dataset_id: str,
    trainer: CurrentTrainer,
    query: Annotated[ImageQuery, Query()],
) -> DatasetImagePage:
    """List the images of a dataset in the order of their names, a page at a time."""
    return service.list_images(trainer, dataset_id, query)


@router.get(
    "/{dataset_id}/images/{sha256}",
    responses={200: {"content": {"image/*": {}}}, **responses(404, 409, 422)},
    response_class=FileResponse,
)
def get_image(
    dataset_id: str,
    sha256: Sha256,
    trainer: CurrentTrainer,
) -> FileResponse:
    """Answer a used image of a dataset: its bytes as they were sent."""
    path, media_type = service.get_image(trainer, dataset_id, sha256)
    return FileResponse(path, media_type=media_type, headers=IMAGE_HEADERS)


@router.get(
    "/{dataset_id}/images/{sha256}/thumbnail",
    responses={200: {"content": {"image/*": {}}}, **responses(404, 409, 422)},
    response_class=Response,
)
def get_thumbnail(dataset_id: str, sha256: Sha256, trainer: CurrentTrainer) -> Response:
    """Answer a small copy of a used image: some kilobytes, 160 pixels or so at most."""
    data, media_type = service.get_thumbnail(trainer, dataset_id, sha256)
    return Response(data, media_type=media_type, headers=IMAGE_HEADERS)
