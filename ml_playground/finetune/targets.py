"""Which layers of a network get adapters. Every option of `[train.peft]` has an effect, or is refused by name."""

# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# The libraries used here leave some types out.

import difflib
import json
from collections.abc import Iterator
from typing import NamedTuple

from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from ml_playground.config.sections import PeftConfig
from ml_playground.errors import ConfigError

_LISTED = 12  # names of layers in a message


class Targets(NamedTuple):
    """What gets adapters.

    Attributes:
        modules: the ends of the names of linear layers, such as `self_attn.q_proj`.
        parameters: the same of parameters that hold the matrices of all experts, such as `experts.down_proj`.
        layers: the whole names of the linear layers.
    """

    modules: list[str]
    parameters: list[str]
    layers: list[str]


def targets_of(network: PreTrainedModel, peft: PeftConfig) -> Targets:
    """The layers that `[train.peft]` selects.

    Raises:
        ConfigError: the model lacks it.
    """
    head = network.get_output_embeddings()
    every = [name for name, module in network.named_modules() if isinstance(module, nn.Linear | Conv1D)]
    linear = [name for name in every if network.get_submodule(name) is not head]
    ends = dict.fromkeys(_end(name) for name in linear)
    in_attention = [end for end in ends if _is_attention(end)]
    _refuse_unknown(peft.target_modules or [], every, linear)
    targets = peft.target_modules or in_attention
    if not targets:
        there = ", ".join(list(ends)[:_LISTED])
        raise ConfigError([f"[train.peft] target_modules: must be set for this model, which has {there}"])
    in_mlps = [end for end in ends if end not in in_attention] if peft.extend_mlp_targets else []
    experts = list(dict.fromkeys(_experts(network))) if peft.extend_mlp_targets else []
    if peft.extend_mlp_targets and not in_mlps and not experts:
        raise ConfigError(["[train.peft] extend_mlp_targets: the model has no linear layers but those in attention"])
    _refuse_for_experts(peft, experts)
    modules = list(dict.fromkeys([*targets, *in_mlps]))
    layers = [name for name in every if any(_matches(name, end) for end in modules)]
    _refuse_without_biases(network, peft, layers)
    return Targets(modules, experts, layers)


def _experts(network: PreTrainedModel) -> Iterator[str]:
    """Parameters outside attention that hold several matrices, one for each expert."""
    for path, module in network.named_modules():
        if type(module).__module__.startswith("torch.") or _is_attention(path):  # such as a convolution
            continue
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.dim() == 3 and parameter.is_floating_point():
                yield _end(f"{path}.{name}")


def _end(name: str) -> str:
    return ".".join(name.split(".")[-2:])


def _is_attention(end: str) -> bool:
    return "att" in end.rpartition(".")[0]


def _matches(name: str, end: str) -> bool:
    return name == end or name.endswith(f".{end}")


def _refuse_unknown(wanted: list[str], every: list[str], linear: list[str]) -> None:
    unknown = [each for each in wanted if not any(_matches(name, each) for name in every)]
    if not unknown:
        return
    leaves = list(dict.fromkeys(name.rpartition(".")[2] for name in linear))
    close = dict.fromkeys(match for each in unknown for match in difflib.get_close_matches(each, leaves, n=1))
    hint = f" (did you mean {', '.join(close)}?)" if close else ""
    there, named = ", ".join(leaves[:_LISTED]), ", ".join(map(json.dumps, unknown))
    all_of_them = (
        "; for all of them leave this out and set extend_mlp_targets = true" if "all-linear" in unknown else ""
    )
    text = f"the model has no linear layer {named}{hint}; it has {there}{all_of_them}"
    raise ConfigError([f"[train.peft] target_modules: {text}"])


def _refuse_for_experts(peft: PeftConfig, experts: list[str]) -> None:
    for option, idle in (("lora_dropout", 0.0), ("use_dora", False)):
        if experts and getattr(peft, option) != idle:
            text = (
                f"{option}: must be {json.dumps(idle)} with extend_mlp_targets = true in this model, whose experts are "
                f"kept as one tensor ({experts[0]}), for which PEFT does not support it"
            )
            raise ConfigError([f"[train.peft] {text}"])


def _refuse_without_biases(network: PreTrainedModel, peft: PeftConfig, layers: list[str]) -> None:
    owners = [name.removesuffix(".bias") for name, _ in network.named_parameters() if name.endswith(".bias")]
    if peft.bias == "all" and not owners:
        raise ConfigError(['[train.peft] bias: is "all", but the model has no biases; set "none"'])
    if peft.bias == "lora_only" and not set(owners) & set(layers):
        raise ConfigError(['[train.peft] bias: is "lora_only", but no layer with an adapter has a bias; set "none"'])
