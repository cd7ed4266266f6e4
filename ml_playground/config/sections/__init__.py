"""Every option of a TOML file: its type, its default and its description, in one place.

A component receives the section it needs (or plain keyword arguments), never the whole configuration.
`docs/configuration.md` is generated from these files.
"""

from ml_playground.config.sections.compare import CompareConfig
from ml_playground.config.sections.evaluate import EvaluateConfig
from ml_playground.config.sections.explore import ExploreConfig
from ml_playground.config.sections.export import ExportGgufConfig, ExportHfConfig, ExportOllamaConfig
from ml_playground.config.sections.finetune import HfModelConfig, PeftConfig
from ml_playground.config.sections.lit import LitConfig
from ml_playground.config.sections.model import MLPConfig, ModelConfig, ModelOptions, NormConfig, PositionConfig
from ml_playground.config.sections.plot import PlotConfig
from ml_playground.config.sections.prepare import Packing, PrepareConfig, SourceConfig, SplitConfig, TokenizerConfig
from ml_playground.config.sections.report import ReportConfig
from ml_playground.config.sections.sample import SampleRuntimeConfig, SamplingConfig
from ml_playground.config.sections.sweep import Match, SweepConfig
from ml_playground.config.sections.training import (
    DataConfig,
    DecayingScheduleConfig,
    OptimConfig,
    ParameterGroup,
    ScheduleConfig,
    SinkConfig,
    TrainRuntimeConfig,
)
from ml_playground.config.sections.types import Device, DType, GGUFType, ModelName, SampleDType

__all__ = [
    "CompareConfig",
    "DType",
    "DataConfig",
    "DecayingScheduleConfig",
    "Device",
    "EvaluateConfig",
    "ExploreConfig",
    "ExportGgufConfig",
    "ExportHfConfig",
    "ExportOllamaConfig",
    "GGUFType",
    "HfModelConfig",
    "LitConfig",
    "MLPConfig",
    "Match",
    "ModelConfig",
    "ModelName",
    "ModelOptions",
    "NormConfig",
    "OptimConfig",
    "Packing",
    "ParameterGroup",
    "PeftConfig",
    "PlotConfig",
    "PositionConfig",
    "PrepareConfig",
    "ReportConfig",
    "SampleDType",
    "SampleRuntimeConfig",
    "SamplingConfig",
    "ScheduleConfig",
    "SinkConfig",
    "SourceConfig",
    "SplitConfig",
    "SweepConfig",
    "TokenizerConfig",
    "TrainRuntimeConfig",
]
