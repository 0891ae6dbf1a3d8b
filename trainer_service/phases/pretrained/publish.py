"""From a pre-trained network with its own classifier to a published version."""

import json
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from shared.engines import EMBEDDING, PROBABILITIES
from shared.errors import Unavailable
from shared.files import full_disk_named
from shared.models.manifest import (
    Artifact,
    CoverageInfo,
    Format,
    HeadInfo,
    HeatmapInfo,
    InputSpec,
    Manifest,
    PretrainedInfo,
    UnknownInfo,
    WeightsInfo,
)
from shared.models.model_store import REPORT_FILE, REPORT_PAGE, ModelSnapshot
from shared.models.unknown import FALSE_ALARMS
from trainer_service.backbones.architectures import PREPROCESSING_VERSION
from trainer_service.backbones.export import export_version
from trainer_service.phases.pretrained import words
from trainer_service.phases.pretrained.golden import write_drawn
from trainer_service.phases.pretrained.network import Network
from trainer_service.phases.publish.golden import load_engines
from trainer_service.phases.publish.publish import libraries
from trainer_service.phases.publish.report import predictor_address
from trainer_service.phases.work import Work
from trainer_service.report.pretrained import render_pretrained
from trainer_service.requests.pretrained import PretrainedRequest
from trainer_service.store.promoting import ModelChanged, Verdict
from trainer_service.store.publishing import WritableModelStore
from trainer_service.store.records.training_record import State


def publish_pretrained(work: Work, asked: PretrainedRequest) -> int:
    """Export a network as the model's next version and return its number.

    Raises:
        TrainingCancelled: it was cancelled meanwhile; there is no version.
        WeightsUnavailable: the weights are gone, damaged, or of another architecture.
        ExportMismatch: the exported graph does not answer as the network does.
        LeaseLost: another process has taken over.
    """
    work.enter(State.PUBLISHING)
    network = Network.build(work, asked)
    work.check_cancelled()
    with work.models.stage(work.record.model) as staging:
        with full_disk_named(staging):
            backbone, head = network.parts
            size = network.parts.features
            heatmaps = export_version(backbone, head, staging, embedding_size=size)
            work.check_cancelled()
            engines = load_engines(work.worker, staging, quantized=False)
            golden = write_drawn(work, network, staging, engines)
        manifest = _manifest(work, asked, network, heatmaps, golden.artifacts)
        _write_summary(manifest, staging)
        work.held.raise_if_lost()
        return _publish(work, staging, manifest)


def _publish(work: Work, staging: Path, manifest: Manifest) -> int:
    """Decide whether a staged version is to be served, and publish it; return its number.

    If the model changes meanwhile, as by a training, it is decided again.
    """
    models, predictor = work.models, predictor_address(work.worker.settings)
    while True:
        seen = models.state(manifest.model)
        verdict = _verdict(models, seen)

        def complete(manifest: Manifest, verdict: Verdict = verdict) -> None:
            page = render_pretrained(manifest, work.record, verdict, predictor)
            (staging / REPORT_PAGE).write_text(page, "utf-8")
            work.check_cancelled.now()

        with suppress(ModelChanged):
            return models.publish(staging, manifest, complete, verdict, seen)
        work.check_cancelled()


def _verdict(models: WritableModelStore, model: ModelSnapshot) -> Verdict:
    """Return whether a version is to be served: only if there is no other one to serve."""
    try:
        served = models.to_serve(model)
    except Unavailable as error:
        return Verdict(served=False, reason=error.detail)
    if served is None:
        return Verdict(served=True, reason="No version was served before.")
    reason = (
        "A pre-trained network was tested on no pictures, so nothing says that it is better than "
        f"version {served}, which stays served."
    )
    return Verdict(served=False, reason=reason)


def _write_summary(manifest: Manifest, to: Path) -> None:
    """Write what is known of the version as JSON; there was no test, so no figures are in it."""
    (to / REPORT_FILE).parent.mkdir()
    pretrained = manifest.pretrained
    report = {
        "labels": manifest.labels,
        "metrics": {},
        "pretrained": pretrained and pretrained.model_dump(),
        "head": manifest.head and manifest.head.model_dump(),
        "history": [],
        "test": [],
    }
    (to / REPORT_FILE).write_text(json.dumps(report))


def _manifest(
    work: Work,
    asked: PretrainedRequest,
    network: Network,
    heatmaps: HeatmapInfo | None,
    artifacts: dict[Format, Artifact],
) -> Manifest:
    """Return the manifest of the version to be; its number is filled in when it is published."""
    architecture, weights, seed = network.architecture, network.weights, work.record.request.seed
    side, selection = architecture.input_size, network.selection
    return Manifest(
        model=work.record.model,
        version=0,
        labels=network.labels,
        architecture=architecture.id,
        input=InputSpec(height=side, width=side),
        preprocessing_version=PREPROCESSING_VERSION,
        precision="f32",
        outputs=[PROBABILITIES, EMBEDDING],
        metrics={},
        dataset=None,
        weights=WeightsInfo(source=weights.source, sha256=weights.sha256),
        training=asked.model_dump(mode="json"),
        training_id=work.record.id,
        seed=seed,
        libraries=libraries(),
        created_at=datetime.now(UTC),
        pretrained=PretrainedInfo(
            classes=words.classes_of(selection),
            rest=selection.labels[-1] if selection.rest else None,
            no_heatmaps="" if heatmaps else words.no_heatmaps(selection, architecture.id),
            detail=words.what_it_is(architecture.id, selection),
        ),
        head=HeadInfo(
            kind="pretrained",
            taps="last",
            features=network.parts.features,
            detail=words.what_the_head_is(network.parts.features),
        ),
        heatmaps=heatmaps,
        unknown=UnknownInfo(
            images=0, distances=0, compared="none", rate=FALSE_ALARMS, detail=words.NO_VERDICT
        ),
        coverage=CoverageInfo(images=0),
        artifacts=artifacts,
    )
