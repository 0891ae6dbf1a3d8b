"""The models of the store, and which version of each is served."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from predictor_service.api.answers import LoadedVersion, ModelInfo, Quarantine
from predictor_service.inference.batching import Batcher
from predictor_service.inference.explain import Explainer
from predictor_service.inference.shadow import Shadow
from predictor_service.models.watch import Trial
from shared.engines import Engine
from shared.errors import InvalidRequest, ModelNotFound, Unavailable
from shared.models.annotations import NOTHING, Annotations
from shared.models.manifest import Manifest
from shared.models.prediction_sets import Doubts
from shared.models.promotions import Decision, last_decisions
from shared.models.unknown import KnownImages

NO_MODEL = "No model has been published yet. Train one, and it is served here automatically."


@dataclass(frozen=True, slots=True, eq=False)
class ServedVersion:
    """A version that was verified and loaded; a request keeps it until it is answered.

    Attributes:
        known: the images that tell whether a picture is unknown, if the version carries some.
        doubts: what tells how many labels to answer, if the version carries it.
        trial: how it has done since it was loaded.
    """

    manifest: Manifest
    engine: Engine
    batcher: Batcher
    loaded_at: datetime
    explainer: Explainer
    known: KnownImages | None = None
    doubts: Doubts | None = None
    trial: Trial = field(default_factory=Trial)


@dataclass(slots=True)
class Model:
    """A model, as the last poll of the store found it.

    Attributes:
        name: the name of the model.
        versions: the published versions, oldest first.
        pinned: the version that the model is pinned to, if any.
        decisions: which versions were decided to be served, newest last.
        served: the served version; a swap replaces it as a whole, so a request sees either the old
            or the new one.
        loading: the version that is being loaded, if any.
        quarantined: the versions that were refused, by number.
        fault: what can't be read in the model's directory, as a sentence.
        shadowed: whether the newest version is to answer beside the pinned one.
        shadow: the version that does so.
        failing: why the served version should be left, once it was watched failing.
        left: the version that was left last, and why, in a sentence.
        notice: the faults, why the pinned version is not served, and what was watched failing.
        annotations: what is said of the model and its versions, as far as it could be read.
        annotations_fault: why it can't be read, as a sentence.
    """

    name: str
    versions: list[int] = field(default_factory=list)
    pinned: int | None = None
    decisions: tuple[Decision, ...] = ()
    served: ServedVersion | None = None
    loading: int | None = None
    quarantined: dict[int, Quarantine] = field(default_factory=dict)
    fault: str | None = None
    shadowed: bool = False
    shadow: Shadow | None = None
    failing: str | None = None
    left: tuple[int, str] | None = None
    notice: str | None = None
    annotations: Annotations = field(default_factory=Annotations)
    annotations_fault: str | None = None

    @property
    def version(self) -> int | None:
        """The version that is served, if any."""
        return self.served.manifest.version if self.served else None

    def why_not_served(self) -> str:
        """Return, as a sentence, why no version of the model is served."""
        if self.loading is not None:
            return f"Model {self.name!r}: version {self.loading} is being loaded."
        if not self.quarantined:
            return self.fault or self._left_out() or f"Model {self.name!r} has not been loaded yet."
        reasons = "; ".join(f"version {q.version}: {q.reason}" for q in self.quarantined.values())
        return f"Model {self.name!r} has no version that can be served: {reasons}"

    def _left_out(self) -> str | None:
        """Return why none of the versions is to be served, if that was decided of the newest."""
        newest = self.versions[-1] if self.versions else None
        decision = last_decisions(self.decisions).get(newest) if newest is not None else None
        if decision is None or decision.served:
            return None
        return (
            f"Model {self.name!r} has no version that is to be served. Version {newest} was "
            f"published without being served: {decision.reason}"
        )

    def require_served(self) -> ServedVersion:
        """Return the version that is served.

        Raises:
            Unavailable: none is.
        """
        if self.served is None:
            raise Unavailable(self.why_not_served())
        return self.served

    def info(self, on_demand: Sequence[ServedVersion] = ()) -> ModelInfo:
        """Return the description of the model for the API.

        Args:
            on_demand: the versions of it that were loaded on demand.
        """
        served = self.served
        said = self.annotations.of(served.manifest.version) if served else NOTHING
        return ModelInfo(
            name=self.name,
            version=self.version,
            pinned=self.pinned,
            versions=self.versions,
            loading=self.loading,
            engine=served.engine.name if served else None,
            precision=served.engine.precision if served else None,
            architecture=served.manifest.architecture if served else None,
            labels=served.manifest.labels if served else [],
            dataset=_dataset_of(served.manifest) if served else None,
            loaded_at=served.loaded_at if served else None,
            heatmaps=served is not None and served.manifest.heatmaps is not None,
            unknown=served.manifest.unknown if served else None,
            coverage=served.manifest.coverage if served else None,
            quarantined=[self.quarantined[version] for version in sorted(self.quarantined)],
            shadow=self.shadow.info() if self.shadow else None,
            notice=self.notice,
            note=self.annotations.note,
            version_note=said.note,
            alias=said.alias,
            aliases=self.annotations.aliases(),
            on_demand=[_loaded(one) for one in on_demand],
        )


def _dataset_of(manifest: Manifest) -> str | None:
    return manifest.dataset.id if manifest.dataset is not None else None


def _loaded(version: ServedVersion) -> LoadedVersion:
    engine = version.engine
    return LoadedVersion(
        version=version.manifest.version,
        engine=engine.name,
        precision=engine.precision,
        loaded_at=version.loaded_at,
    )


class Models:
    """All models of the store. Only the thread of the event loop may use it.

    Attributes:
        scanned: whether the store has been read once, and its versions have been loaded or refused.
        fault: why the last poll of the store failed, as a sentence; None if it did not.
    """

    def __init__(self) -> None:
        self.scanned = False
        self.fault: str | None = None
        self._models: dict[str, Model] = {}

    def all(self) -> list[Model]:
        """Return all models, sorted by name."""
        return [self._models[name] for name in sorted(self._models)]

    def get(self, name: str) -> Model:
        """Return a model of the store, whether or not it is served.

        Raises:
            ModelNotFound: no model has this name.
        """
        if name not in self._models:
            raise ModelNotFound(name, sorted(self._models))
        return self._models[name]

    def ensure(self, name: str) -> Model:
        """Return the model of this name, and add it if it is new."""
        return self._models.setdefault(name, Model(name))

    def keep_only(self, names: set[str]) -> list[Model]:
        """Remove every model that is not in `names`, and return the removed ones."""
        gone = [model for name, model in self._models.items() if name not in names]
        for model in gone:
            del self._models[model.name]
        return gone

    def choose(self, name: str | None) -> Model:
        """Return the model that a request is about.

        Args:
            name: the name of the model; None means the only one that is served.

        Raises:
            ModelNotFound: no model has this name.
            InvalidRequest: `name` is None and several models are served.
            Unavailable: there is no model yet.
        """
        return self._only() if name is None else self._named(name)

    def not_ready(self) -> list[str]:
        """Return sentences that say what is not ready.

        The list is empty once the store has been read and a model is served.
        """
        if not self.scanned:
            loading = [m.why_not_served() for m in self.all() if m.served is None]
            if self.fault is not None:
                return [f"The model store can't be read: {self.fault}"]
            return loading or ["The model store has not been read yet."]
        if any(model.served for model in self.all()):
            return []
        return [model.why_not_served() for model in self.all()] or [NO_MODEL]

    def _named(self, name: str) -> Model:
        if not self._models:
            raise Unavailable(self.not_ready()[0])
        return self.get(name)

    def _only(self) -> Model:
        models = self.all()
        served = [model for model in models if model.served]
        if len(served) > 1:
            names = ", ".join(model.name for model in served)
            raise InvalidRequest(f"Several models are served; choose one with ?model=: {names}.")
        if not models:
            raise Unavailable(self.not_ready()[0])
        return (served or models)[0]
