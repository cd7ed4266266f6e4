"""Configurations that runs recorded."""

import json
from copy import deepcopy
from pathlib import Path

from pydantic import ValidationError

from ml_playground.config.experiment import NOT_RECORDED, ExperimentConfig
from ml_playground.config.statements import anchor
from ml_playground.errors import RunDirectoryError
from ml_playground.utils.tables import Table


def recorded_config(resolved: Table, root: Path) -> ExperimentConfig:
    """The configuration of a run again.

    Args:
        resolved: what `ExperimentConfig.resolved` returned.
        root: what relative paths in it count from.

    Raises:
        RunDirectoryError: another version wrote it, with other options, or a part in it comes from a plugin.
    """
    values: Table = {**{name: {} for name in NOT_RECORDED}, **deepcopy(resolved)}
    try:
        anchor(values, {}, root)
        return ExperimentConfig.model_validate_json(json.dumps(values, default=str))
    except (ValidationError, KeyError, TypeError, AttributeError) as error:
        first = error.errors()[0] if isinstance(error, ValidationError) else None
        what = f" ({'.'.join(map(str, first['loc']))}: {first['msg']})" if first else ""
        raise RunDirectoryError(f"its run.json has options of another version, or of a plugin{what}") from None
