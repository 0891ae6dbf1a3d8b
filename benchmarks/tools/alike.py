"""The limits and batch size that all compared servers use; BentoML's environment imports it."""

from predictor_service.settings import PredictorSettings
from shared.images.decoding import ImageLimits

_SETTINGS = PredictorSettings.model_construct()

LIMITS = ImageLimits(_SETTINGS.max_image_bytes, _SETTINGS.max_image_pixels)
MAX_BATCH = _SETTINGS.max_batch
