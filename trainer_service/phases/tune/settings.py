"""The settings of a tail's training."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TuneSettings:
    """How a tail is trained.

    Attributes:
        epochs: how often each image is seen, in another view each time.
        learning_rate: the highest one of the tail, after the warm-up.
        head_learning_rate: that of the head.
        batch_size: images in one step.
        part_size: images of it that are in memory at a time.
        patience: the training ends after this many epochs without a better validation loss.
        seed: of the order of the images.
        weight_decay: the share of a kernel that a step takes away, times the learning rate.
        warm_up: the share of all steps in which the learning rate rises to its highest.
        clip: the largest norm of all gradients together.
        memory: bytes of rows that are in memory at a time.
    """

    epochs: int = 8
    learning_rate: float = 1e-4
    head_learning_rate: float = 3e-5
    batch_size: int = 32
    part_size: int = 32
    patience: int = 5
    seed: int = 0
    weight_decay: float = 0.05
    warm_up: float = 0.1
    clip: float = 1.0
    memory: int = 512 << 20
