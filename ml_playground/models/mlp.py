"""MLPs: the feed-forward part of a block."""

from torch import Tensor, nn
from torch.nn import functional as F

from ml_playground.config.sections import ModelConfig
from ml_playground.models.linear import Linear


class GELU(nn.Module):
    """Two linear layers with a GELU between (Hendrycks & Gimpel 2016), as in GPT-2."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.c_fc = Linear(config.n_embd, config.n_inner, bias=config.bias)
        self.c_proj = Linear(config.n_inner, config.n_embd, bias=config.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, C) to (B, T, C)."""
        out: Tensor = self.c_proj(F.gelu(self.c_fc(x)))
        return out


class TanhGELU(GELU):
    """The same with the approximation that OpenAI's GPT-2 was trained with (Hendrycks & Gimpel 2016, section 2)."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, C) to (B, T, C)."""
        out: Tensor = self.c_proj(F.gelu(self.c_fc(x), approximate="tanh"))
        return out


class SquaredReLU(GELU):
    """Two linear layers with the square of a ReLU between (So et al. 2021, "Primer")."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, C) to (B, T, C)."""
        out: Tensor = self.c_proj(F.relu(self.c_fc(x)).square())
        return out


class SwiGLU(nn.Module):
    """A linear layer gated by another, whose activation is SiLU (Shazeer 2020)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.c_fc = Linear(config.n_embd, 2 * config.n_inner, bias=config.bias)  # the gate, then the gated
        self.c_proj = Linear(config.n_inner, config.n_embd, bias=config.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, C) to (B, T, C)."""
        gate, value = self.c_fc(x).chunk(2, dim=-1)
        out: Tensor = self.c_proj(F.silu(gate) * value)
        return out
