"""Positional encodings: how a model knows the order of its tokens.

A kind adds to the embeddings, or rotates queries and keys, or biases the attention. `start` is the position of the
first token given, above 0 if a cache holds the ones before.
"""

import math

import torch
from torch import Tensor, nn

from ml_playground.config.sections import ModelConfig


class Position(nn.Module):
    """No positional encoding: order shows through the causal mask only (Haviv et al. 2022). The base of the others."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()

    def embed(self, x: Tensor, start: int) -> Tensor:
        """The input of the first block, from embeddings (B, T, C)."""
        return x

    def rotate(self, x: Tensor, start: int) -> Tensor:
        """Queries or keys (B, H, T, D) as attention compares them."""
        return x

    def bias(self, queries: int, keys: int) -> Tensor | None:
        """What is added to the scores of the last `queries` positions for all `keys` positions, (H, queries, keys)."""
        return None


class Learned(Position):
    """A learned vector per position (Radford et al. 2019, GPT-2)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.weight = nn.Parameter(torch.randn(config.block_size, config.n_embd))

    def embed(self, x: Tensor, start: int) -> Tensor:
        """See `Position`."""
        return x + self.weight[start : start + x.shape[1]]


class Sinusoidal(Position):
    """Sines and cosines of geometric wavelengths (Vaswani et al. 2017, section 3.5).

    Embeddings are multiplied by the root of the width (section 3.4), so that the waves do not drown them out.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        angles = _angles(config.block_size, config.n_embd, 10_000.0)
        self.register_buffer("waves", torch.cat((angles.sin(), angles.cos()), dim=-1), persistent=False)
        self.waves: Tensor

    def embed(self, x: Tensor, start: int) -> Tensor:
        """See `Position`."""
        return x * math.sqrt(x.shape[2]) + self.waves[start : start + x.shape[1]].to(x.dtype)


class Rotary(Position):
    """Queries and keys rotated by angles proportional to their positions (Su et al. 2021, "RoFormer").

    A pair is one coordinate of each half of a head, as in Transformers' Llama.
    """

    def __init__(self, config: ModelConfig, theta: float) -> None:
        super().__init__(config)
        angles = _angles(config.block_size, config.head_dim, theta)
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)
        self.cos: Tensor
        self.sin: Tensor

    def rotate(self, x: Tensor, start: int) -> Tensor:
        """See `Position`."""
        cos = self.cos[start : start + x.shape[2]].to(x.dtype)  # (T, D / 2)
        sin = self.sin[start : start + x.shape[2]].to(x.dtype)
        first, second = x.chunk(2, dim=-1)
        return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)


class ALiBi(Position):
    """Attention scores fall linearly with distance, with a slope for each head (Press et al. 2022)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.register_buffer("slopes", torch.tensor(_slopes(config.n_head)), persistent=False)
        self.slopes: Tensor

    def bias(self, queries: int, keys: int) -> Tensor:
        """See `Position`."""
        positions = torch.arange(keys, device=self.slopes.device)
        distance = positions[None, :] - positions[keys - queries :, None]  # (queries, keys), negative to the left
        return self.slopes[:, None, None] * distance


def _angles(length: int, width: int, theta: float) -> Tensor:
    """Angles (length, width / 2): positions times frequencies that fall from 1 to about 1 / theta."""
    frequencies = theta ** -(torch.arange(0, width, 2, dtype=torch.float32) / width)
    return torch.outer(torch.arange(length, dtype=torch.float32), frequencies)


def _slopes(n_head: int) -> list[float]:
    """The paper's geometric series; unless the heads are a power of two, every other slope of the next one is added."""
    power = 2 ** math.floor(math.log2(n_head))
    slopes = [2 ** (-8 * (head + 1) / power) for head in range(power)]
    between = [2 ** (-4 * (head + 1) / power) for head in range(0, 2 * power, 2)]
    return slopes + between[: n_head - power]
