"""A positional encoding."""

import torch
from pydantic import Field
from torch import Tensor

from ml_playground.config.sections import ModelConfig, PositionConfig
from ml_playground.models.position import Position


class RecencyOptions(PositionConfig):
    """Scores fall with the logarithm of the distance."""

    strength: float = Field(1.0, ge=0, description="how steeply")

    def build(self, model: ModelConfig) -> Position:
        """See `PositionConfig`."""
        return Recency(model, self.strength)


class Recency(Position):
    """What attention adds to its scores."""

    def __init__(self, config: ModelConfig, strength: float) -> None:
        super().__init__(config)
        self.strength = strength
        self.register_buffer("at", torch.arange(config.block_size), persistent=False)
        self.at: Tensor

    def bias(self, queries: int, keys: int) -> Tensor:
        """See `Position`."""
        distance = self.at[keys - queries : keys, None] - self.at[None, :keys]
        return -self.strength * distance.clamp(min=0).add(1.0).log()[None]
