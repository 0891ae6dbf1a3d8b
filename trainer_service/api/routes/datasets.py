"""Routes below `/v1/datasets`."""

from collections.abc import Mapping
from typing import Annotated, BinaryIO

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import FileResponse
from starlette.types import Receive, Scope, Send

from shared.errors import InvalidRequest
from shared.http.problems import responses
from shared.logs import bind
from trainer_service.api.bodies import Fields, parse, parse_so_far, read_body
from trainer_service.api.dependencies import CurrentTrainer, IdempotencyKey
from trainer_service.api.openapi import body_of, form_of
from trainer_service.api.routes.pages import PageQuery, link_next
from trainer_service.api.threads import Threads
from trainer_service.datasets.doubles import DoublesPage
from trainer_service.requests.corrections import AddedImages, CorrectionsRequest
from trainer_service.requests.lists import ListQuery
from trainer_service.requests.reading import ReadingRequest
from trainer_service.requests.training import DatasetRequest, UploadedDataset
from trainer_service.service import corrections, datasets
from trainer_service.service.corrections import CorrectionPage
from trainer_service.service.dataset_images import (
    DatasetImagePage,
    ImageQuery,
    RejectedPage,
)
from trainer_service.store.records.dataset_record import DatasetRecord

Sha256 = Annotated[str, Path(pattern="^[0-9a-f]{64}$")]

#: An image can't run or load anything, even if its address is opened directly in a browser.
IMAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; sandbox",
    # The address contains the hash of the bytes, so they never change.
    "Cache-Control": "private, max-age=31536000, immutable",
}


class OpenFileResponse(FileResponse):
    """Sends a file that is open already, even if its path leads elsewhere by now, and closes it."""

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
    """Submit an archive (multipart field `archive`), a folder (`files`), or a path (JSON).

    Each file of a folder has its relative path as its file name. A path is relative to the datasets
    directory of the trainer's machine. `reading` says how the dataset is read; what it leaves out
    is decided by the reader. A worker reads the images: follow `Location` until `state` is `ready`
    or `failed`.
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
    """Check the fields of an upload before its images arrive."""
    parse_so_far(UploadedDataset, fields)


@router.get("", responses=responses(422))
def list_datasets(
    trainer: CurrentTrainer, response: Response, query: Annotated[PageQuery, Query()]
) -> list[DatasetRecord]:
    """List datasets, newest first. The header `Link` has the address of the next page, if any.

    The labels are left out if there are more than 64, and no rejected files are listed.
    """
    records, after = trainer.stores.datasets.page(query.limit, query.after)
    link_next(response, query, after)
    return list(records)


@router.put("/{dataset_id}/reading", status_code=202, responses=responses(404, 409, 422, 503, 507))
def read_in_another_way(
    dataset_id: str, reading: ReadingRequest, trainer: CurrentTrainer
) -> DatasetRecord:
    """Have a dataset labelled again in another way, or confirm a doubtful reading.

    Its images are not read again. `readings` of the dataset lists ways that are possible. If the
    reading does not fit, the dataset stays as it was read before, and `refused` says why.
    """
    return datasets.read_in_another_way(trainer, dataset_id, reading)


@router.delete("/{dataset_id}", status_code=204, responses=responses(404, 409, 503, 507))
def delete_dataset(dataset_id: str, trainer: CurrentTrainer) -> None:
    """Remove a dataset and its images. No training on it may be waiting or running."""
    datasets.delete_dataset(trainer, dataset_id)


@router.get("/{dataset_id}", responses=responses(404))
def get_dataset(dataset_id: str, trainer: CurrentTrainer) -> DatasetRecord:
    """Return the labels and counts of a dataset, and the first 20 of its rejected files."""
    return datasets.get_dataset(trainer, dataset_id)


@router.post(
    "/{dataset_id}/corrections", status_code=201, responses=responses(404, 409, 422, 503, 507)
)
async def correct_dataset(  # noqa: PLR0913, PLR0917 - FastAPI passes them by their names
    dataset_id: str,
    asked: CorrectionsRequest,
    request: Request,
    response: Response,
    trainer: CurrentTrainer,
    idempotency_key: IdempotencyKey = None,
) -> DatasetRecord:
    """Make a dataset of this one in which some images have other labels, or are left out (null).

    The new one is `ready` at once and has no copies of the images; this one stays as it is. To undo
    a correction, send the image's first label (`from`) to the corrected dataset.
    """
    threads: Threads = request.app.state.threads
    record = await threads.work_on_whole(
        corrections.correct_dataset, trainer, dataset_id, asked, idempotency_key
    )
    response.headers["Location"] = f"/v1/datasets/{record.id}"
    return record


@router.get("/{dataset_id}/corrections", responses=responses(404, 409, 422))
def list_corrections(
    dataset_id: str, trainer: CurrentTrainer, query: Annotated[ListQuery, Query()]
) -> CorrectionPage:
    """List how the images of a dataset differ from the first one of its line, page by page."""
    return corrections.list_corrections(trainer, dataset_id, query)


@router.post(
    "/{dataset_id}/images",
    status_code=202,
    responses=responses(404, 409, 413, 415, 422, 503, 507),
    openapi_extra=form_of(AddedImages),
)
async def add_images(
    dataset_id: str,
    request: Request,
    response: Response,
    trainer: CurrentTrainer,
    idempotency_key: IdempotencyKey = None,
) -> DatasetRecord:
    """Make a dataset of this one with more images (multipart `files`, or an `archive`).

    `label` is the label of all of them; without it, each has the name of the folder that it lies
    in. The new dataset has no copies of the images of this one, which stays as it is. A worker
    reads what was sent: follow `Location` until `state` is `ready` or `failed`. Images that were
    not added, as the dataset has them already or for another reason, are among its rejected files.
    """
    threads: Threads = request.app.state.threads
    async with read_body(request, trainer.settings, _check_additions) as body:
        asked = parse(AddedImages, body.fields)
        if body.archive is None:
            raise InvalidRequest(
                "files: expected the images to add, in a multipart form. Received: none"
            )
        record = await threads.work_on_whole(
            corrections.add_images,
            trainer,
            dataset_id,
            body.archive,
            asked.label,
            idempotency_key,
        )
    response.headers["Location"] = f"/v1/datasets/{record.id}"
    return record


def _check_additions(fields: Fields) -> None:
    parse_so_far(AddedImages, fields)


@router.get("/{dataset_id}/images", responses=responses(404, 409, 422))
def list_images(
    dataset_id: str,
    trainer: CurrentTrainer,
    query: Annotated[ImageQuery, Query()],
) -> DatasetImagePage:
    """List the images of a dataset in the order of their names, one page at a time."""
    return datasets.list_images(trainer, dataset_id, query)


@router.get("/{dataset_id}/rejected", responses=responses(404, 409, 422))
def list_rejected(
    dataset_id: str,
    trainer: CurrentTrainer,
    query: Annotated[ListQuery, Query()],
) -> RejectedPage:
    """List the rejected files of a dataset and the reasons, one page at a time."""
    return datasets.list_rejected(trainer, dataset_id, query)


@router.get("/{dataset_id}/doubles", responses=responses(404, 409, 422))
def list_doubles(
    dataset_id: str, trainer: CurrentTrainer, query: Annotated[ListQuery, Query()]
) -> DoublesPage:
    """List the groups of nearly equal images, those in several parts of the split first."""
    return datasets.list_doubles(trainer, dataset_id, query)


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
    """Return an image that the dataset uses: its bytes as they were uploaded."""
    file, media_type = datasets.get_image(trainer, dataset_id, sha256)
    return OpenFileResponse(file, media_type=media_type, headers=IMAGE_HEADERS)


@router.get(
    "/{dataset_id}/images/{sha256}/thumbnail",
    responses={200: {"content": {"image/*": {}}}, **responses(404, 409, 422, 503)},
    response_class=Response,
)
def get_thumbnail(dataset_id: str, sha256: Sha256, trainer: CurrentTrainer) -> Response:
    """Return a small copy of an image that the dataset uses: a few kilobytes, about 160 pixels."""
    data, media_type = datasets.get_thumbnail(trainer, dataset_id, sha256)
    return Response(data, media_type=media_type, headers=IMAGE_HEADERS)
