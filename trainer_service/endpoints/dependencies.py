"""What routes ask FastAPI for."""

from typing import Annotated

from fastapi import Depends, Request

from trainer_service.service import Trainer


def _trainer(request: Request) -> Trainer:
    trainer: Trainer = request.app.state.trainer
    return trainer


CurrentTrainer = Annotated[Trainer, Depends(_trainer)]
