"""The routes of the predictor."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated, Any, NamedTuple

import numpy as np
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse, Response

from predictor_service.api.answers import About, Health, ModelInfo, ModelList, PredictResponse
from predictor_service.api.leaving import while_connected
from predictor_service.api.query import PredictQuery
from predictor_service.api.uploads import Upload, read_uploads
from predictor_service.inference.batching import Answer, Rows
from predictor_service.inference.coverage import doubt_for, labels_of
from predictor_service.inference.explain import Explained
from predictor_service.inference.metrics import PredictorMetrics
from predictor_service.inference.unknown import check_false_alarms, told
from predictor_service.models.on_demand import InUse, OnDemand
from predictor_service.models.served import Models, ServedVersion
from predictor_service.settings import PredictorSettings
from shared.engines import PROBABILITIES
from shared.errors import HeadstartError, InvalidImage, ModelNotFound, TooLarge, Unavailable
from shared.http.problems import FieldProblem, problem_response, responses
from shared.logs import bind

router = APIRouter()

Result = Rows | Explained | HeadstartError


class _Asked(NamedTuple):
    """What a request wants of each prediction.

    Attributes:
        used: the version that answers, and what is said of it.
        top: how many labels to name.
        false_alarms: the share of known pictures that may be called unknown, if it says.
        doubt: up to which doubt to answer labels, if it asks for a coverage.
    """

    used: InUse
    top: int
    false_alarms: float | None
    doubt: float | None


_BINARY = {"schema": {"type": "string", "format": "binary"}}
_FORM_SCHEMA = {
    "type": "object",
    "required": ["file"],
    "properties": {
        "file": {
            "type": "array",
            "items": {"type": "string", "format": "binary"},
            "description": "One or more images.",
        }
    },
}
_PREDICT_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {"schema": _FORM_SCHEMA},
            "image/*": _BINARY,
            "application/octet-stream": _BINARY,
        },
    }
}


def get_models(request: Request) -> Models:
    """Return the models of the application; a dependency of routes."""
    models: Models = request.app.state.models
    return models


def get_versions(request: Request) -> OnDemand:
    """Return the versions that requests may ask for; a dependency of routes."""
    versions: OnDemand = request.app.state.versions
    return versions


ModelsOf = Annotated[Models, Depends(get_models)]
VersionsOf = Annotated[OnDemand, Depends(get_versions)]


@router.post(
    "/v1/predict",
    summary="Classify images",
    response_class=JSONResponse,
    responses={
        200: {"model": PredictResponse, "description": "At least one file was classified."},
        **responses(404, 409, 413, 415, 422, 500, 503),
    },
    openapi_extra=_PREDICT_BODY,
)
async def predict(request: Request, query: Annotated[PredictQuery, Query()]) -> Response:
    """Return, for each file, the likeliest labels, or the reason why it can't be classified."""
    settings: PredictorSettings = request.app.state.settings
    versions: OnDemand = request.app.state.versions
    wanted = query.wanted
    if (at_hand := await versions.at_hand(wanted)) is not None:
        _check_room(at_hand, query.explain)
    uploads = await read_uploads(request, settings)
    readable = [upload.data for upload in uploads if isinstance(upload.data, bytes)]
    async with while_connected(request.receive), versions.use(wanted) as used:
        served = used.served  # a newer version may be served by now
        bind(model=served.manifest.model, version=served.manifest.version)
        asked = _asked(query, used)
        answers = await _answers(served, readable, query.explain)
    _offer_to_shadow(get_models(request), served, readable, answers)
    results = _merge(uploads, answers)
    errors = [result for result in results if isinstance(result, HeadstartError)]
    _count(request.app.state.metrics, served.manifest.model, len(uploads) - len(errors), errors)
    if len(errors) == len(uploads):
        return _nothing_predicted(uploads, errors)
    pairs = zip(uploads, results, strict=True)
    entries = [_entry(upload, result, asked) for upload, result in pairs]
    return JSONResponse({"predictions": entries})


@router.get("/v1/models", summary="List the models", responses=responses(422))
async def list_models(models: ModelsOf, versions: VersionsOf) -> ModelList:
    return ModelList(models=[model.info(versions.of(model.name)) for model in models.all()])


@router.get("/v1/models/{name}", summary="Describe a model", responses=responses(404, 422))
async def get_model(name: str, models: ModelsOf, versions: VersionsOf) -> ModelInfo:
    return models.get(name).info(versions.of(name))


@router.get("/v1/about", summary="Tell the page where the trainer is", responses=responses(422))
async def about(request: Request) -> About:
    settings: PredictorSettings = request.app.state.settings
    return About(trainer_url=settings.trainer_url)


@router.get("/healthz", summary="Check that the process is alive")
async def healthz() -> Health:
    return Health(status="ok")


@router.get(
    "/readyz",
    summary="Check that the service can predict",
    response_model=Health,
    responses=responses(503),
)
async def readyz(models: ModelsOf) -> Response:
    missing = models.not_ready()
    if missing:
        return problem_response(503, "Not ready", " ".join(missing), headers={"Retry-After": "1"})
    return JSONResponse({"status": "ready"})


def _check_room(served: ServedVersion, explain: str | None) -> None:
    """Check, before the images are received, that they could be answered."""
    if explain is None:
        served.batcher.check_room()
    else:
        served.explainer.check(explain)


def _asked(query: PredictQuery, used: InUse) -> _Asked:
    """Check that a version can answer what is asked, and return it."""
    served = used.served
    check_false_alarms(query.false_alarms, served.known, served.manifest)
    doubt = doubt_for(query.coverage, served.doubts, served.manifest)
    return _Asked(used, query.top, query.false_alarms, doubt)


async def _answers(
    served: ServedVersion, images: list[bytes], explain: str | None
) -> Sequence[Answer | Explained]:
    if explain is None:
        return await served.batcher.predict(images)
    return await served.explainer.explain(images, explain)


def _offer_to_shadow(
    models: Models,
    served: ServedVersion,
    images: list[bytes],
    answers: Sequence[Answer | Explained],
) -> None:
    """Let the version that answers beside the served one answer, too, if there is one."""
    with suppress(ModelNotFound):  # the model is gone from the store meanwhile
        model = models.get(served.manifest.model)
        if model.shadow is not None and model.served is served:
            plain = [one.answer if isinstance(one, Explained) else one for one in answers]
            model.shadow.offer(served, images, plain)


def _count(
    metrics: PredictorMetrics, model: str, classified: int, errors: Sequence[HeadstartError]
) -> None:
    metrics.predictions.labels(model).inc(classified)
    for error in errors:
        reason = error.verdict if isinstance(error, InvalidImage) else error.title.lower()
        metrics.refused.labels(reason).inc()


def _merge(uploads: list[Upload], answers: Sequence[Answer | Explained]) -> list[Result]:
    """Return a result for every file: its answer, or the error with which it was received."""
    remaining = iter(answers)
    return [
        _settled(next(remaining)) if isinstance(upload.data, bytes) else upload.data
        for upload in uploads
    ]


def _settled(answer: Answer | Explained) -> Result:
    """Return an answer that is about one file only; raise an error that is about the service."""
    if isinstance(answer, MemoryError):
        raise Unavailable("There is no memory left to classify the images.") from answer
    if not isinstance(answer, Exception):
        return answer
    if isinstance(answer, HeadstartError) and not isinstance(answer, Unavailable):
        return answer
    raise answer


def _entry(upload: Upload, result: Result, asked: _Asked) -> dict[str, Any]:
    if isinstance(result, HeadstartError):
        return {"file": upload.name, "error": _problem(result)}
    if isinstance(result, Explained):
        prediction = _prediction(result.answer, asked)
        return {"file": upload.name, **prediction, "heat": result.heat}
    return {"file": upload.name, **_prediction(result, asked)}


def _prediction(answer: Rows, asked: _Asked) -> dict[str, Any]:
    served, said = asked.used
    labels, probabilities = served.manifest.labels, answer[PROBABILITIES]
    order = np.argsort(-probabilities, kind="stable")[: asked.top]
    likeliest = [
        {"label": labels[i], "probability": round(float(probabilities[i]), 6)} for i in order
    ]
    return {
        "model": served.manifest.model,
        "version": served.manifest.version,
        "alias": said.alias,
        "note": said.note,
        **likeliest[0],
        "top": likeliest,
        **told(answer, served.known, asked.false_alarms),
        **labels_of(probabilities, labels, asked.doubt),
    }


def _problem(error: HeadstartError) -> dict[str, Any]:
    problem = {"title": error.title, "status": _status(error), "detail": error.detail}
    return {"type": "about:blank", **problem}


def _status(error: HeadstartError) -> int:
    if isinstance(error, InvalidImage) and error.verdict == "too large":
        return TooLarge.status
    return error.status


def _nothing_predicted(uploads: list[Upload], errors: list[HeadstartError]) -> Response:
    statuses = {_status(error) for error in errors}
    status = statuses.pop() if len(statuses) == 1 else InvalidImage.status
    title = errors[0].title if len({error.title for error in errors}) == 1 else "Invalid images"
    fields = [
        FieldProblem(field=upload.name or "file", detail=error.detail)
        for upload, error in zip(uploads, errors, strict=True)
    ]
    detail = "; ".join(f"{field.field}: {field.detail}" for field in fields)
    return problem_response(status, title, detail, fields)
