"""Families of models: what each option of `[train.model]` is where a file does not state it."""

from typing import Any

from ml_playground.utils.tables import is_table

_GPT2 = {
    "position": "learned",
    "norm": "layernorm",
    "norm_eps": 1e-5,
    "norm_placement": "pre",
    "mlp": "gelu",
    "qk_norm": False,
    "tied_embeddings": True,
    "embedding_norm": False,
    "zero_init": False,
    "ngram_embeddings": 0,
}
_LLAMA = {**_GPT2, "position": "rope", "norm": "rmsnorm", "mlp": "swiglu", "tied_embeddings": False}
_QWEN3 = {**_LLAMA, "norm_eps": 1e-6, "qk_norm": True}
_MODERN = {
    **_QWEN3,
    "mlp": "relu2",
    "embedding_norm": True,
    "zero_init": True,
    "ngram_embeddings": 4,
}

KINDS: dict[str, dict[str, Any]] = {"gpt2": _GPT2, "llama": _LLAMA, "qwen3": _QWEN3, "modern": _MODERN}


def apply_defaults(stated: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    """The options of `[train.model]`: what is stated, else what its family says, else the default of all families."""
    family = KINDS.get(str(stated.get("kind", defaults["kind"])), {})
    filled = {**defaults, **family, **stated}
    for part in ("position", "norm", "mlp"):  # a table without a kind has options for that of the family
        if is_table(table := stated.get(part)):
            filled[part] = {"kind": family.get(part, ""), **table}
    n_head, n_embd = filled["n_head"], filled["n_embd"]
    if isinstance(n_head, int) and isinstance(n_embd, int) and n_head > 0:
        filled.setdefault("n_kv_head", n_head)
        filled.setdefault("head_dim", n_embd // n_head)
    return filled
