"""A model's parameters in groups, and the optimiser that updates them."""

from typing import Any

import torch
from torch import Tensor

from ml_playground.config.sections import OptimConfig, ParameterGroup
from ml_playground.models.base import LanguageModel


def build_optimizer(model: LanguageModel, config: OptimConfig) -> torch.optim.Optimizer:
    """The optimiser that `config` names.

    Weight decay applies to matrices only, not to biases and norm gains. Each parameter group has an `lr_scale`, which
    multiplies the step's learning rate.
    """
    parameters: list[Tensor] = [parameter for parameter in model.parameters() if parameter.requires_grad]
    hidden_rate = config.hidden_learning_rate
    hidden = set[Tensor]() if hidden_rate is None else set(model.matrix_parameters())
    embeddings = set(model.embeddings())

    def group(members: list[Tensor], rate: float, decay: float, *, is_hidden: bool = False) -> ParameterGroup:
        scale = rate / config.learning_rate
        return {"params": members, "lr": rate, "lr_scale": scale, "weight_decay": decay, "hidden": is_hidden}

    rest = [each for each in parameters if each not in hidden | embeddings]
    groups = [
        group([each for each in parameters if each in embeddings], config.embedding_learning_rate, config.weight_decay),
        group([each for each in rest if each.dim() >= 2], config.learning_rate, config.weight_decay),
        group([each for each in rest if each.dim() < 2], config.learning_rate, 0.0),
    ]
    if hidden_rate is not None:
        groups.append(
            group([each for each in parameters if each in hidden], hidden_rate, config.weight_decay, is_hidden=True)
        )
    return config.build([each for each in groups if each["params"]])


def load_optimizer_state(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Load the running means of `state`, keeping the hyperparameters that `optimizer` was built with.

    torch's own `load_state_dict` would overwrite the configured weight decay and betas with the old run's.
    """
    optimizer.load_state_dict({"state": state["state"], "param_groups": optimizer.state_dict()["param_groups"]})
