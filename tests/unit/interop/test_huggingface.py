"""Against the classes of Transformers themselves."""

from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import Field
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from ml_playground.config.sections import ModelConfig
from ml_playground.errors import CheckpointError, ExportError
from ml_playground.interop.huggingface.families import FAMILIES, family_of, from_theirs, load_hf_folder
from ml_playground.interop.huggingface.family import WITHOUT_EFFECT, options_of
from ml_playground.models.build import build_model, restore_model
from ml_playground.models.kinds import model_options
from ml_playground.models.transformer import Transformer
from tests.project import shape

VOCAB = 37
SHAPE = {"n_layer": 2, "n_head": 4, "n_embd": 32, "block_size": 24}
LLAMA: dict[str, Any] = {
    "vocab_size": VOCAB,
    "hidden_size": 32,
    "intermediate_size": 40,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 24,
    "rope_parameters": {"rope_type": "default", "rope_theta": 500_000.0},
}
EXPORTED: list[tuple[str, dict[str, Any]]] = [
    ("GPT2LMHeadModel", {"kind": "gpt2"}),
    ("GPT2LMHeadModel", {"kind": "gpt2", "bias": True, "n_inner": 48, "tied_embeddings": False}),
    ("GPT2LMHeadModel", {"kind": "gpt2", "mlp": "gelu_tanh", "norm_eps": 1e-3}),
    ("LlamaForCausalLM", {"kind": "llama"}),
    ("LlamaForCausalLM", {"kind": "llama", "bias": True, "n_kv_head": 2, "tied_embeddings": True}),
    ("LlamaForCausalLM", {"kind": "gpt2", "position": "rope", "norm": "rmsnorm", "mlp": "swiglu"}),
    ("MistralForCausalLM", {"kind": "llama", "sliding_window": 5}),
    ("Qwen3ForCausalLM", {"kind": "qwen3", "n_kv_head": 1, "head_dim": 12, "position": {"kind": "rope", "theta": 1e6}}),
    ("Qwen3ForCausalLM", {"kind": "qwen3", "sliding_window": 5}),
]


def our_model(options: dict[str, Any]) -> Transformer:
    """A model whose every parameter is drawn anew, biases and norms included."""
    torch.manual_seed(1)
    model = build_model({**SHAPE, **options, "vocab_size": VOCAB})
    assert isinstance(model, Transformer)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, mean=0.5 if parameter.dim() == 1 else 0.0, std=0.2)
    return model.eval()


def random_model(kind: type[PreTrainedModel], config: Any) -> PreTrainedModel:
    torch.manual_seed(2)
    model: PreTrainedModel = kind(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, mean=0.5 if parameter.dim() == 1 else 0.0, std=0.2)
    model.eval()
    return model


def ids() -> torch.Tensor:
    return torch.randint(VOCAB, (3, 24), generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize(("name", "options"), EXPORTED)
def test_transformers_computes_the_same_and_the_way_back_ends_where_it_began(
    name: str, options: dict[str, Any]
) -> None:
    model = our_model(options)
    values, tensors = family_of(model.config).to_theirs(model.config, model.state_dict(), VOCAB)
    assert values["architectures"] == [name] == [family_of(model.config).hf_class]
    kind = getattr(__import__("transformers"), name)
    theirs = kind(kind.config_class(**values))
    missing, unexpected = theirs.load_state_dict(tensors, strict=False)
    assert unexpected == []
    assert missing in ([], ["lm_head.weight"])
    theirs.tie_weights()
    torch.testing.assert_close(theirs.eval()(ids()).logits, model(ids()), atol=1e-5, rtol=0)

    args, weights = from_theirs(values, tensors)
    back = model_options({key: value for key, value in args.items() if key != "vocab_size"})
    assert back.model_copy(update={"kind": model.config.kind}) == model.config
    assert weights.keys() == model.state_dict().keys()
    for key, tensor in model.state_dict().items():
        assert torch.equal(weights[key], tensor), key


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        (GPT2LMHeadModel, GPT2Config(vocab_size=VOCAB, n_positions=24, n_embd=32, n_layer=2, n_head=4)),
        (
            GPT2LMHeadModel,
            GPT2Config(
                vocab_size=VOCAB, n_positions=24, n_embd=32, n_layer=2, n_head=4, n_inner=20, activation_function="gelu"
            ),
        ),
        (LlamaForCausalLM, LlamaConfig(**LLAMA)),
        (LlamaForCausalLM, LlamaConfig(**LLAMA, attention_bias=True, head_dim=6, tie_word_embeddings=True)),
        (MistralForCausalLM, MistralConfig(**LLAMA, sliding_window=7)),
        (MistralForCausalLM, MistralConfig(**LLAMA, sliding_window=None)),
        (Qwen2ForCausalLM, Qwen2Config(**LLAMA)),
        (Qwen2ForCausalLM, Qwen2Config(**LLAMA, use_sliding_window=True, sliding_window=5)),
        (Qwen3ForCausalLM, Qwen3Config(**LLAMA, use_sliding_window=True, sliding_window=5)),
        (Qwen3ForCausalLM, Qwen3Config(**LLAMA, head_dim=10, attention_bias=True)),
        (Qwen3ForCausalLM, Qwen3Config(**LLAMA, use_sliding_window=True, sliding_window=7, max_window_layers=0)),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
@torch.inference_mode()
def test_a_folder_that_transformers_wrote_is_read_to_the_same_logits(
    kind: type[PreTrainedModel], config: Any, tmp_path: Path
) -> None:
    theirs = random_model(kind, config)
    theirs.save_pretrained(tmp_path, max_shard_size="8KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    args, weights = load_hf_folder(tmp_path)
    ours = restore_model(args, weights).eval()
    torch.testing.assert_close(ours(ids()), theirs(ids()).logits, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("options", "nearest", "blocking_options"),
    [
        (
            {"kind": "modern"},
            "Qwen3ForCausalLM",
            'mlp = "relu2" (not "swiglu"), embedding_norm = true (not false), ngram_embeddings = 4 (not 0)',
        ),
        ({"kind": "gpt2", "position": "alibi"}, "GPT2LMHeadModel", 'position = "alibi" (not "learned")'),
        ({"kind": "gpt2", "mlp": "none"}, "GPT2LMHeadModel", 'mlp = "none" (not "gelu" or "gelu_tanh")'),
        ({"kind": "gpt2", "n_kv_head": 2}, "GPT2LMHeadModel", "n_kv_head = 2 (not n_head, 4)"),
        ({"kind": "gpt2", "head_dim": 6}, "GPT2LMHeadModel", "head_dim = 6 (not n_embd / n_head, 8)"),
        ({"kind": "qwen3", "bias": True}, "Qwen3ForCausalLM", "bias = true (not false)"),
        ({"kind": "llama", "norm_placement": "post"}, "LlamaForCausalLM", 'norm_placement = "post" (not "pre")'),
        ({"kind": "llama", "logit_softcap": 30.0}, "LlamaForCausalLM", "logit_softcap = 30.0 (not 0.0)"),
        ({"kind": "llama", "n_head": 5, "head_dim": 6}, "LlamaForCausalLM", "n_head = 5 (which does not divide n_embd"),
    ],
)
def test_a_model_that_no_class_computes_is_refused_with_the_options_in_the_way(
    options: dict[str, Any], nearest: str, blocking_options: str
) -> None:
    with pytest.raises(ExportError) as refusal:
        family_of(shape(model_options({**SHAPE, **options})))
    assert f"Closest: {nearest};" in str(refusal.value)
    assert blocking_options in str(refusal.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"architectures": ["MambaForCausalLM"]},
            "its class is MambaForCausalLM; those known here are GPT2LMHeadModel, LlamaForCausalLM, Mistral",
        ),
        ({"architectures": None}, "its class is not stated"),
        ({"architectures": "LlamaForCausalLM"}, "its class is not stated"),
        ({"architectures": {}}, "its class is not stated"),
        ({"hidden_act": "gelu"}, "its config.json says hidden_act = 'gelu': Input should be 'silu'"),
        ({"rope_parameters": {"rope_type": "llama3"}}, "rope_parameters.rope_type = 'llama3'"),
        ({"rope_parameters": [1]}, "its config.json says rope_parameters = [1]"),
        ({"rope_scaling": {"type": "linear"}, "rope_parameters": None}, "rope_scaling.type = 'linear'"),
        ({"rope_theta": "abc"}, "rope_theta = 'abc'"),
        ({"layer_types": [{}]}, "layer_types.0 = {}"),
        ({"num_hidden_layers": 3}, "lack 'model.layers.2.input_layernorm.weight'"),
        ({"num_hidden_layers": 1}, "weights that are unknown here (model.layers.1."),
        ({"num_hidden_layers": "2"}, "num_hidden_layers = '2'"),
        ({"num_attention_heads": 0}, "num_attention_heads = 0"),
        ({"max_position_embeddings": None}, "max_position_embeddings = None"),
        ({"quantization_config": {"bits": 4}}, "quantization_config = {'bits': 4}"),
    ],
)
def test_what_ours_cannot_do_is_refused(changes: dict[str, Any], message: str) -> None:
    theirs = random_model(LlamaForCausalLM, LlamaConfig(**LLAMA))
    values = {**theirs.config.to_dict(), "architectures": ["LlamaForCausalLM"], **changes}
    with pytest.raises(CheckpointError) as refusal:
        from_theirs(values, theirs.state_dict())
    assert message in str(refusal.value)


@pytest.mark.parametrize("values", [[], None, "x", {}])
def test_what_is_no_configuration_is_refused(values: object) -> None:
    with pytest.raises(CheckpointError, match="its class is not stated"):
        from_theirs(values, {})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensor: tensor.to(torch.int8), "its weights are quantised"),
        (lambda tensor: tensor.to(torch.float8_e4m3fn), "its weights are quantised"),
        (lambda tensor: tensor[:, :5], "its weights do not fit each other"),
    ],
)
def test_weights_that_are_not_what_they_seem_are_refused(
    change: Callable[[torch.Tensor], torch.Tensor], message: str
) -> None:
    theirs = random_model(LlamaForCausalLM, LlamaConfig(**LLAMA))
    tensors = dict(theirs.state_dict())
    tensors["model.layers.1.self_attn.k_proj.weight"] = change(tensors["model.layers.1.self_attn.k_proj.weight"])
    with pytest.raises(CheckpointError, match=message):
        from_theirs({**theirs.config.to_dict(), "architectures": ["LlamaForCausalLM"]}, tensors)


def test_what_an_adapter_left_behind_is_not_overlooked() -> None:
    theirs = random_model(LlamaForCausalLM, LlamaConfig(**LLAMA))
    tensors = {**theirs.state_dict(), "model.layers.0.self_attn.q_proj.lora_A.weight": torch.ones(2, 32)}
    with pytest.raises(CheckpointError, match=r"unknown here \(.*lora_A"):
        from_theirs({**theirs.config.to_dict(), "architectures": ["LlamaForCausalLM"]}, tensors)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (["full_attention", "sliding_attention"], "some of its layers have a sliding"),
        (["full_attention"], "1 layer_types"),
    ],
)
def test_layers_that_take_turns_are_refused(layers: list[str], message: str) -> None:
    theirs = random_model(Qwen3ForCausalLM, Qwen3Config(**LLAMA, head_dim=8))
    values = {**theirs.config.to_dict(), "architectures": ["Qwen3ForCausalLM"], "layer_types": layers}
    with pytest.raises(CheckpointError, match=message):
        from_theirs(values, dict(theirs.state_dict()))


def test_windows_that_are_not_stated_are_those_of_the_class() -> None:
    theirs = random_model(MistralForCausalLM, MistralConfig(**LLAMA))
    values = {**theirs.config.to_dict(), "architectures": ["MistralForCausalLM"]}
    del values["sliding_window"]
    args, _ = from_theirs(values, theirs.state_dict())
    assert args["sliding_window"] == MistralConfig().sliding_window == 4096


def test_a_head_that_differs_is_not_tied() -> None:
    theirs = random_model(LlamaForCausalLM, LlamaConfig(**LLAMA))
    values = {**theirs.config.to_dict(), "architectures": ["LlamaForCausalLM"], "tie_word_embeddings": True}
    args, weights = from_theirs(values, theirs.state_dict())
    assert args["tied_embeddings"] is False
    torch.testing.assert_close(restore_model(args, weights).eval()(ids()), theirs(ids()).logits, atol=1e-4, rtol=0)


def test_a_head_of_its_own_must_be_there() -> None:
    theirs = random_model(LlamaForCausalLM, LlamaConfig(**LLAMA))
    values = {**theirs.config.to_dict(), "architectures": ["LlamaForCausalLM"]}
    tensors = {name: tensor for name, tensor in theirs.state_dict().items() if name != "lm_head.weight"}
    with pytest.raises(CheckpointError, match=r"lack 'lm_head\.weight'"):
        from_theirs(values, tensors)


@pytest.mark.parametrize("name", FAMILIES)
def test_every_option_of_a_transformer_is_classified(name: str) -> None:
    """Whoever adds one says whether trained weights compute something else with it, and which classes have it."""
    family = FAMILIES[name]
    classified = [*WITHOUT_EFFECT, *family.carries, *family.requires]
    kinds = [[(part, kind) for kind in family.requires[part]] for part in ("position", "norm", "mlp")]
    options = {each for parts in product(*kinds) for each in options_of(shape(model_options({**SHAPE, **dict(parts)})))}
    assert sorted(classified) == sorted(options)


class NewOptions(ModelConfig):
    """A transformer with options that nobody has thought of here."""

    attention_sinks: int = 0
    direction: str = Field(description="which has no default")


@pytest.mark.parametrize("kind", ["gpt2", "llama", "qwen3"])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"direction": "left", "attention_sinks": 4}, "attention_sinks = 4 (not 0)"),
        ({"direction": "left"}, 'direction = "left" (which the class does not have)'),
    ],
)
def test_an_option_that_is_not_classified_is_refused(kind: str, options: dict[str, Any], message: str) -> None:
    stated = shape(model_options({**SHAPE, "kind": kind})).model_dump()
    with pytest.raises(ExportError, match="no Transformers class matches this model") as refusal:
        family_of(NewOptions.model_validate({**stated, **options}))
    assert message in str(refusal.value)


def test_rows_beyond_the_vocabulary_stay_here() -> None:
    model = our_model({"kind": "llama"})
    values, tensors = family_of(model.config).to_theirs(model.config, model.state_dict(), 30)
    assert values["vocab_size"] == 30
    assert tensors["model.embed_tokens.weight"].shape == tensors["lm_head.weight"].shape == (30, 32)


def test_gpt2_as_it_lies_at_the_hub() -> None:
    """Without a prefix, without a head, and with the masks that older versions kept."""
    config = GPT2Config(vocab_size=VOCAB, n_positions=24, n_embd=32, n_layer=2, n_head=4)
    theirs = random_model(GPT2LMHeadModel, config)
    tensors = {name.removeprefix("transformer."): tensor for name, tensor in theirs.state_dict().items()}
    del tensors["lm_head.weight"]
    masks = {
        f"h.{layer}.attn.{name}": torch.ones(1, 1, 24, 24) for layer in range(2) for name in ("bias", "masked_bias")
    }
    args, weights = from_theirs({**config.to_dict(), "architectures": ["GPT2LMHeadModel"]}, {**tensors, **masks})
    assert args["mlp"] == "gelu_tanh"
    torch.testing.assert_close(restore_model(args, weights).eval()(ids()), theirs(ids()).logits, atol=1e-4, rtol=0)
