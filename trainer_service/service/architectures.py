"""The catalogue of architectures, and whether their weights are available."""

from trainer_service.backbones import weights
from trainer_service.backbones.architectures import CATALOGUE
from trainer_service.backbones.cut_table import CUTS, TAILS
from trainer_service.backbones.imagenet import classes
from trainer_service.service.answers import ArchitectureStatus, ClassifierStatus, ImageNetClasses
from trainer_service.service.trainer import Trainer


def list_architectures(trainer: Trainer) -> list[ArchitectureStatus]:
    """Return every architecture of the catalogue, and whether its weights are available now."""
    statuses = []
    for architecture in CATALOGUE.values():
        found = weights.availability(architecture, trainer.settings)
        whole = weights.availability(architecture, trainer.settings, top=True)
        statuses.append(
            ArchitectureStatus(
                id=architecture.id,
                input_size=architecture.input_size,
                feature_size=architecture.feature_size,
                taps=dict(zip(architecture.taps, architecture.tap_widths, strict=True)),
                parameters=architecture.parameters,
                multiply_adds=architecture.multiply_adds,
                cuts={cut.layer: cut.multiply_adds for cut in CUTS[architecture.id]},
                tail=TAILS[architecture.id],
                available=found.available,
                source=found.source,
                detail=found.detail,
                classifier=ClassifierStatus(
                    available=whole.available, source=whole.source, detail=whole.detail
                ),
            )
        )
    return statuses


def list_classes() -> ImageNetClasses:
    """Return the names of the classes of ImageNet."""
    return ImageNetClasses(classes=list(classes()))
