"""The optimiser."""

from typing import Any

import torch
from torch import nn


def adamw(
    model: nn.Module, *, learning_rate: float, weight_decay: float, beta1: float, beta2: float
) -> torch.optim.AdamW:
    """AdamW (Loshchilov & Hutter 2019) with decay on matrices only: biases and norm gains stay undecayed.

    One fused kernel updates all parameters; CPU, CUDA and MPS each have it.
    """
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [each for each in parameters if each.dim() >= 2], "weight_decay": weight_decay},
        {"params": [each for each in parameters if each.dim() < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=learning_rate, betas=(beta1, beta2), fused=True)


def restore_moments(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Load the running means of `state`, keeping the hyperparameters that `optimizer` was built with.

    torch's own loading would bring back the old run's weight decay and betas over those of the configuration.
    """
    optimizer.load_state_dict({"state": state["state"], "param_groups": optimizer.state_dict()["param_groups"]})
