"""Every sort of part that can be chosen by name. Adding one is a file of its own and a line here.

Packages elsewhere add theirs by entry points, files that a TOML names in `plugins` by `register`: `utils/registry.py`.
"""

from ml_playground.utils.registry import Registry

_OPTIMIZERS = "ml_playground.training.optimizers"
OPTIMIZERS = Registry(
    "optimizers",
    "ml_playground.config.sections:OptimConfig",
    {
        "adamw": f"{_OPTIMIZERS}.adam:AdamWOptions",
        "muon": f"{_OPTIMIZERS}.muon:MuonOptions",
        "adam": f"{_OPTIMIZERS}.adam:AdamOptions",
        "adagrad": f"{_OPTIMIZERS}.adagrad:AdagradOptions",
        "sgd": f"{_OPTIMIZERS}.sgd:SGDOptions",
        "rmsprop": f"{_OPTIMIZERS}.rmsprop:RMSpropOptions",
    },
)

_SCHEDULES = "ml_playground.training.schedules"
SCHEDULES = Registry(
    "schedules",
    "ml_playground.config.sections:ScheduleConfig",
    {
        "cosine": f"{_SCHEDULES}.cosine:Cosine",
        "linear": f"{_SCHEDULES}.linear:Linear",
        "wsd": f"{_SCHEDULES}.wsd:WSD",
        "inverse_sqrt": f"{_SCHEDULES}.inverse_sqrt:InverseSqrt",
        "constant": f"{_SCHEDULES}.constant:Constant",
    },
)

_SINKS = "ml_playground.run.sinks"
SINKS = Registry(
    "sinks",
    "ml_playground.config.sections:SinkConfig",
    {
        "console": f"{_SINKS}.console:ConsoleOptions",
        "jsonl": f"{_SINKS}.jsonl:JsonLinesOptions",
        "tensorboard": f"{_SINKS}.tensorboard:TensorBoardOptions",
    },
)

_PARTS = "ml_playground.models.parts"
POSITIONS = Registry(
    "positions",
    "ml_playground.config.sections:PositionConfig",
    {
        "learned": f"{_PARTS}:LearnedOptions",
        "sinusoidal": f"{_PARTS}:SinusoidalOptions",
        "rope": f"{_PARTS}:RotaryOptions",
        "alibi": f"{_PARTS}:ALiBiOptions",
        "none": f"{_PARTS}:NoPositionOptions",
    },
)
NORMS = Registry(
    "norms",
    "ml_playground.config.sections:NormConfig",
    {"layernorm": f"{_PARTS}:LayerNormOptions", "rmsnorm": f"{_PARTS}:RMSNormOptions"},
)
MLPS = Registry(
    "mlps",
    "ml_playground.config.sections:MLPConfig",
    {
        "gelu": f"{_PARTS}:GELUOptions",
        "gelu_tanh": f"{_PARTS}:TanhGELUOptions",
        "swiglu": f"{_PARTS}:SwiGLUOptions",
        "relu2": f"{_PARTS}:SquaredReLUOptions",
        "none": f"{_PARTS}:NoMLPOptions",
    },
)

_FAMILY = "ml_playground.models.families:TransformerOptions"
MODELS = Registry(
    "models",
    "ml_playground.config.sections:ModelOptions",
    {"gpt2": _FAMILY, "llama": _FAMILY, "qwen3": _FAMILY, "modern": _FAMILY},
)

_SOURCES = "ml_playground.data.sources"
SOURCES = Registry(
    "sources",
    f"{_SOURCES}.base:Source",
    {
        "text": f"{_SOURCES}.text:Text",
        "lines": f"{_SOURCES}.lines:Lines",
        "files": f"{_SOURCES}.files:Files",
        "speeches": f"{_SOURCES}.speeches:Speeches",
    },
)

_TOKENIZERS = "ml_playground.data.tokenizers.options"
TOKENIZERS = Registry(
    "tokenizers",
    f"{_TOKENIZERS}:TokenizerOptions",
    {
        "char": f"{_TOKENIZERS}:Char",
        "gpt2": f"{_TOKENIZERS}:Tiktoken",
        "r50k_base": f"{_TOKENIZERS}:Tiktoken",
        "p50k_base": f"{_TOKENIZERS}:Tiktoken",
        "cl100k_base": f"{_TOKENIZERS}:Tiktoken",
        "o200k_base": f"{_TOKENIZERS}:Tiktoken",
        "huggingface": f"{_TOKENIZERS}:HuggingFace",
    },
)

_SPLITS = "ml_playground.data.splits"
SPLITS = Registry(
    "splits",
    f"{_SPLITS}:SplitOptions",
    {"position": f"{_SPLITS}:Position", "files": f"{_SPLITS}:Files", "hash": f"{_SPLITS}:Hash"},
)
