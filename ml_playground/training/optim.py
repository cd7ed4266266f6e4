"""Optimisers."""

from typing import Any

import torch
from torch import Tensor

from ml_playground.config.sections import OptimConfig
from ml_playground.models import LanguageModel
from ml_playground.training.muon import Muon


def build_optimizer(model: LanguageModel, config: OptimConfig) -> torch.optim.Optimizer:
    """The optimiser that `config` names.

    Weight decay is on matrices only: biases and norm gains stay undecayed. Each group of parameters has an `lr_scale`,
    by which the step's learning rate is multiplied for it.
    """
    parameters: list[Tensor] = [parameter for parameter in model.parameters() if parameter.requires_grad]
    hidden = set(model.hidden_matrices()) if config.kind == "muon" else set[Tensor]()
    embeddings = set(model.embeddings())

    def group(members: list[Tensor], rate: float, decay: float, **options: Any) -> dict[str, Any]:
        scale = rate / config.learning_rate
        return {"params": members, "lr": rate, "lr_scale": scale, "weight_decay": decay, **options}

    rest = [each for each in parameters if each not in hidden | embeddings]
    groups = [
        group([each for each in parameters if each in embeddings], config.embedding_learning_rate, config.weight_decay),
        group([each for each in rest if each.dim() >= 2], config.learning_rate, config.weight_decay),
        group([each for each in rest if each.dim() < 2], config.learning_rate, 0.0),
    ]
    if config.kind == "muon":
        matrices = [each for each in parameters if each in hidden]
        momentum = {"muon": True, "momentum": config.momentum}
        groups = [{**each, "muon": False} for each in groups]
        groups.append(group(matrices, config.muon_learning_rate, config.weight_decay, **momentum))
    return _optimizer([each for each in groups if each["params"]], config)


def _optimizer(groups: list[dict[str, Any]], config: OptimConfig) -> torch.optim.Optimizer:
    betas = config.beta1, config.beta2
    match config.kind:
        case "adamw":
            return torch.optim.AdamW(groups, betas=betas, fused=True)
        case "muon":
            return Muon(groups, betas=betas, fused=True)
        case "adam":
            return torch.optim.Adam(groups, betas=betas, fused=True)
        case "adagrad":
            return torch.optim.Adagrad(groups)
        case "sgd":
            return torch.optim.SGD(groups, momentum=config.momentum, nesterov=config.momentum > 0)
        case "rmsprop":
            return torch.optim.RMSprop(groups, alpha=config.beta2, momentum=config.momentum)


def restore_moments(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Load the running means of `state`, keeping the hyperparameters that `optimizer` was built with.

    torch's own loading would bring back the old run's weight decay and betas over those of the configuration.
    """
    optimizer.load_state_dict({"state": state["state"], "param_groups": optimizer.state_dict()["param_groups"]})
