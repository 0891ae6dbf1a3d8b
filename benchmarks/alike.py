"""What every side of a comparison is given alike. BentoML's environment imports it, too."""

from predictor_service.settings import PredictorSettings
from shared.images import ImageLimits

_SETTINGS = PredictorSettings.model_construct()

LIMITS = ImageLimits(_SETTINGS.max_image_bytes, _SETTINGS.max_image_pixels)
MAX_BATCH = _SETTINGS.max_batch
