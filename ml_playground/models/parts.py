"""The options of a transformer's parts. Each builds its module, and imports torch only then."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pydantic import Field

from ml_playground.config.sections import MLPConfig, ModelConfig, NormConfig, PositionConfig

if TYPE_CHECKING:
    from torch import nn


class LearnedOptions(PositionConfig):
    """A learned vector per position (Radford et al. 2019, GPT-2)."""

    def build(self, model: ModelConfig) -> "nn.Module":
        """See `PositionConfig`."""
        from ml_playground.models.position import Learned

        return Learned(model)

    def parameters(self, model: ModelConfig) -> int:
        """See `PositionConfig`."""
        return model.block_size * model.n_embd


class _FixedPosition(PositionConfig):
    """A kind without parameters."""

    def parameters(self, model: ModelConfig) -> int:
        """See `PositionConfig`."""
        _ = model
        return 0


class SinusoidalOptions(_FixedPosition):
    """Sines and cosines of geometric wavelengths (Vaswani et al. 2017, section 3.5)."""

    def conflicts(self, model: ModelConfig) -> Iterator[tuple[tuple[str, ...], str]]:
        """See `PositionConfig`."""
        if model.n_embd % 2:
            yield ("n_embd", "position"), f"sines and cosines come in pairs, n_embd = {model.n_embd} is odd"

    def build(self, model: ModelConfig) -> "nn.Module":
        """See `PositionConfig`."""
        from ml_playground.models.position import Sinusoidal

        return Sinusoidal(model)


class RotaryOptions(_FixedPosition):
    """Queries and keys rotated by angles proportional to their positions (Su et al. 2021, "RoFormer")."""

    theta: float = Field(
        10_000.0, ge=1, le=1e15, description="base: wavelengths go from 2 pi to nearly 2 pi times this, in tokens"
    )

    def conflicts(self, model: ModelConfig) -> Iterator[tuple[tuple[str, ...], str]]:
        """See `PositionConfig`."""
        if model.head_dim % 2:
            yield (
                ("head_dim", "position", "n_head", "n_embd"),
                f"rope rotates pairs, head_dim = {model.head_dim} is odd",
            )

    def build(self, model: ModelConfig) -> "nn.Module":
        """See `PositionConfig`."""
        from ml_playground.models.position import Rotary

        return Rotary(model, self.theta)


class ALiBiOptions(_FixedPosition):
    """Attention scores fall linearly with distance, with a slope for each head (Press et al. 2022)."""

    def build(self, model: ModelConfig) -> "nn.Module":
        """See `PositionConfig`."""
        from ml_playground.models.position import ALiBi

        return ALiBi(model)


class NoPositionOptions(_FixedPosition):
    """No positional encoding: order shows through the causal mask only (Haviv et al. 2022)."""

    def build(self, model: ModelConfig) -> "nn.Module":
        """See `PositionConfig`."""
        from ml_playground.models.position import Position

        return Position(model)


class LayerNormOptions(NormConfig):
    """Zero mean and unit deviation, then a gain and, with `bias`, a bias (Ba et al. 2016)."""

    def build(self, width: int, model: ModelConfig) -> "nn.Module":
        """See `NormConfig`."""
        from ml_playground.models.norm import LayerNorm

        return LayerNorm(width, model)

    def parameters(self, width: int, model: ModelConfig) -> int:
        """See `NormConfig`."""
        return width * (1 + model.bias)


class RMSNormOptions(NormConfig):
    """Unit root mean square, then a gain (Zhang & Sennrich 2019)."""

    def build(self, width: int, model: ModelConfig) -> "nn.Module":
        """See `NormConfig`."""
        from ml_playground.models.norm import RMSNorm

        return RMSNorm(width, model)

    def parameters(self, width: int, model: ModelConfig) -> int:
        """See `NormConfig`."""
        _ = model
        return width


class GELUOptions(MLPConfig):
    """Two linear layers with a GELU between (Hendrycks & Gimpel 2016), as in GPT-2."""

    def build(self, model: ModelConfig) -> "nn.Module":
        """See `MLPConfig`."""
        from ml_playground.models.mlp import GELU

        return GELU(model)

    def parameters(self, model: ModelConfig) -> int:
        """See `MLPConfig`."""
        return model.linear(model.n_embd, model.n_inner) + model.linear(model.n_inner, model.n_embd)


class TanhGELUOptions(GELUOptions):
    """The same with the approximation that OpenAI's GPT-2 was trained with."""

    def build(self, model: ModelConfig) -> "nn.Module":
        """See `MLPConfig`."""
        from ml_playground.models.mlp import TanhGELU

        return TanhGELU(model)


class SwiGLUOptions(MLPConfig):
    """A linear layer gated by another, whose activation is SiLU (Shazeer 2020)."""

    @classmethod
    def inner_width(cls, width: int) -> int:
        """See `MLPConfig`: with three matrices instead of two, two thirds of the width have about as many weights."""
        return -(-8 * width // 3 // 16) * 16

    def build(self, model: ModelConfig) -> "nn.Module":
        """See `MLPConfig`."""
        from ml_playground.models.mlp import SwiGLU

        return SwiGLU(model)

    def parameters(self, model: ModelConfig) -> int:
        """See `MLPConfig`."""
        return model.linear(model.n_embd, 2 * model.n_inner) + model.linear(model.n_inner, model.n_embd)


class SquaredReLUOptions(GELUOptions):
    """Two linear layers with the square of a ReLU between (So et al. 2021, "Primer")."""

    def build(self, model: ModelConfig) -> "nn.Module":
        """See `MLPConfig`."""
        from ml_playground.models.mlp import SquaredReLU

        return SquaredReLU(model)


class NoMLPOptions(MLPConfig):
    """No MLP: blocks of attention alone."""

    def build(self, model: ModelConfig) -> None:
        """See `MLPConfig`."""

    def parameters(self, model: ModelConfig) -> int:
        """See `MLPConfig`."""
        _ = model
        return 0
