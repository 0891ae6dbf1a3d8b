"""Frees the memory of a process that loads one network after another."""

import ctypes
import gc
import sys


def let_networks_go() -> None:
    """Drop the networks that this process keeps for its next training, and give memory back."""
    backbones = sys.modules.get("trainer_service.backbones.backbone")
    caches = []
    if backbones:
        caches = [backbones.cached_graph, backbones.cached_backbone, backbones.bottleneck_engine]
    if not any(cache.cache_info().currsize for cache in caches):
        return
    for cache in caches:
        cache.cache_clear()
    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)
