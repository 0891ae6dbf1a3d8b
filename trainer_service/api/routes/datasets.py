"""Routes below `/v1/datasets`."""

from collections.abc import Mapping
from typing import Annotated, BinaryIO

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import FileResponse
from starlette.types import Receive, Scope, Send

from shared.http.problems import responses
from shared.logs import bind
from trainer_service.api.bodies import Fields, parse, parse_so_far, read_body
from trainer_service.api.dependencies import CurrentTrainer, IdempotencyKey
from trainer_service.api.openapi import body_of
from trainer_service.api.routes.pages import PageQuery, link_next
from trainer_service.api.threads import Threads
from trainer_service.reading_request import ReadingRequest
from trainer_service.service import datasets
from trainer_service.service.dataset_images import (
    DatasetImagePage,
    ImageQuery,
    RejectedPage,
    RejectedQuery,
)
from trainer_service.store.records.dataset_record import DatasetRecord
from trainer_service.training_request import DatasetRequest, UploadedDataset

Sha256 = Annotated[str, Path(pattern="^[0-9a-f]{64}$")]

#: Opened by itself, a picture can neither run nor load anything, whatever its bytes say.
IMAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; sandbox",
    # The address holds the hash: what it names never changes.
    "Cache-Control": "private, max-age=31536000, immutable",
}


class OpenFileResponse(FileResponse):
    """Answers a file that was opened, whatever lies at its path by now, and closes it."""

    def __init__(self, file: BinaryIO, media_type: str, headers: Mapping[str, str]) -> None:
        super().__init__(f"/proc/self/fd/{file.fileno()}", media_type=media_type, headers=headers)
        self._file = file

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._file:
            await super().__call__(scope, receive, send)


router = APIRouter(prefix="/v1/datasets", tags=["datasets"])


@router.post(
    "",
    status_code=202,
    responses=responses(409, 413, 415, 422, 503, 507),
    openapi_extra=body_of(DatasetRequest),
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
    `reading` says how it is to be read, where the reader is not to decide that itself.
    The images are read by a worker; follow `Location` until `state` is `ready` or `failed`.
    """
    threads: Threads = request.app.state.threads
    async with read_body(request, trainer.settings, _check_early) as body:
        if body.archive is None:
            asked = parse(DatasetRequest, body.fields)
            name, reading = asked.path, asked.reading
        else:
            reading = parse(UploadedDataset, body.fields).reading
            name = body.archive_name
        record = await threads.submit(
            datasets.submit_dataset, trainer, body.archive, name, idempotency_key, reading
        )
    bind(dataset_id=record.id)
    response.headers["Location"] = f"/v1/datasets/{record.id}"
    return record


def _check_early(fields: Fields) -> None:
    """Check what is said of an upload before its images come."""
    parse_so_far(UploadedDataset, fields)


@router.get("", responses=responses(422))
def list_datasets(
    trainer: CurrentTrainer, response: Response, query: Annotated[PageQuery, Query()]
) -> list[DatasetRecord]:
    """List datasets, the newest first; the header `Link` names the next page, if there is one.

    Of labels, their images only if there are 64 or fewer; no file names.
    """
    records, after = trainer.stores.datasets.page(query.limit, query.after)
    link_next(response, query, after)
    return list(records)


@router.put("/{dataset_id}/reading", status_code=202, responses=responses(404, 409, 422, 503))
def read_in_another_way(
    dataset_id: str, reading: ReadingRequest, trainer: CurrentTrainer
) -> DatasetRecord:
    """Have a dataset labelled anew in the way that is asked for, or confirm a doubtful reading.

    Its images are not read again. `readings` of the dataset lists ways that are possible.
    """
    return datasets.read_in_another_way(trainer, dataset_id, reading)


@router.delete("/{dataset_id}", status_code=204, responses=responses(404, 409))
def delete_dataset(dataset_id: str, trainer: CurrentTrainer) -> None:
    """Remove a dataset that no training needs any more, and its images."""
    datasets.delete_dataset(trainer, dataset_id)


@router.get("/{dataset_id}", responses=responses(404))
def get_dataset(dataset_id: str, trainer: CurrentTrainer) -> DatasetRecord:
    """Tell a dataset's labels, counts, and the first few of the files that were rejected."""
    return trainer.stores.datasets.get(dataset_id)


@router.get("/{dataset_id}/images", responses=responses(404, 409, 422))
def list_images(
    dataset_id: str,
    trainer: CurrentTrainer,
    query: Annotated[ImageQuery, Query()],
) -> DatasetImagePage:
    """List the images of a dataset in the order of their names, a page at a time."""
    return datasets.list_images(trainer, dataset_id, query)


@router.get("/{dataset_id}/rejected", responses=responses(404, 409, 422))
def list_rejected(
    dataset_id: str,
    trainer: CurrentTrainer,
    query: Annotated[RejectedQuery, Query()],
) -> RejectedPage:
    """List the files of a dataset that are not used, and why, a page at a time."""
    return datasets.list_rejected(trainer, dataset_id, query)


@router.get(
    "/{dataset_id}/images/{sha256}",
    responses={200: {"content": {"image/*": {}}}, **responses(404, 409, 422, 503)},
    response_class=FileResponse,
)
def get_image(
    dataset_id: str,
    sha256: Sha256,
    trainer: CurrentTrainer,
) -> FileResponse:
    """Answer a used image of a dataset: its bytes as they were sent."""
    file, media_type = datasets.get_image(trainer, dataset_id, sha256)
    return OpenFileResponse(file, media_type=media_type, headers=IMAGE_HEADERS)


@router.get(
    "/{dataset_id}/images/{sha256}/thumbnail",
    responses={200: {"content": {"image/*": {}}}, **responses(404, 409, 422, 503)},
    response_class=Response,
)
def get_thumbnail(dataset_id: str, sha256: Sha256, trainer: CurrentTrainer) -> Response:
    """Answer a small copy of a used image: some kilobytes, 160 pixels or so at most."""
    data, media_type = datasets.get_thumbnail(trainer, dataset_id, sha256)
    return Response(data, media_type=media_type, headers=IMAGE_HEADERS)
