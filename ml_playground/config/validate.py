"""From what TOML files state to an `ExperimentConfig`, or to all mistakes in it at once."""

from pydantic import ValidationError

from ml_playground.config.checks import Conflict, device_conflicts, find_conflicts
from ml_playground.config.experiment import ExperimentConfig, default_sources, option_fields
from ml_playground.config.messages import describe_error
from ml_playground.utils.tables import KeyPath, Table, has_key, merge, table_at


def validate(
    base: Table, stated: Table, *, check_devices: bool = False
) -> tuple[ExperimentConfig | None, list[Conflict]]:
    """The configuration and all its problems; no configuration where it cannot even be checked across keys."""
    problems: list[Conflict] = []
    try:
        config = ExperimentConfig.model_validate(_complete(merge(base, stated)))
    except ValidationError as error:
        for key, text in (describe_error(each, stated) for each in error.errors()):
            problems.append(Conflict((key,), text))
        # Without its bad keys the rest can still be checked for contradictions, so that one run tells all.
        bad = [problem.keys[0] for problem in problems]
        try:
            config = ExperimentConfig.model_validate(_complete(merge(base, _without(stated, bad))))
        except ValidationError:
            return None, problems
    known_bad = {problem.keys[0] for problem in problems}
    found = [*find_conflicts(config), *(device_conflicts(config) if check_devices else ())]
    return config, problems + [each for each in found if not known_bad & set(each.keys)]


def first_stated(problem: Conflict, stated: Table) -> KeyPath | None:
    """The key to point at; None where nothing is stated of it.

    Then its default follows another key's bad value, whose own problem is enough, or an option that would contradict
    others is not there.
    """
    return next((key for key in problem.keys if has_key(stated, key)), None)


def following(problem: str) -> str:
    """The problem of a default, where nothing that is stated has one of its own."""
    return f"{problem}, which follows from other options"


def _without(stated: Table, keys: list[KeyPath]) -> Table:
    """`stated` less some keys. Where one's table is itself no table, that goes."""
    sound = merge({}, stated)
    for key in keys:
        for length in range(1, len(key) + 1):
            table = table_at(sound, key[: length - 1])
            if table is not None and (length == len(key) or not isinstance(table.get(key[length - 1]), dict)):
                table.pop(key[length - 1], None)
    return sound


def _complete(values: Table) -> Table:
    """`values` with all sections, and with the defaults that are another key's value."""
    completed = merge({}, values)
    options = list(option_fields(completed))
    defaults = {key: field.default for key, field in options if not field.is_required()}
    for key, field in options:
        *tables, name = key
        for depth in range(len(tables)):
            holder = table_at(completed, tables[:depth])
            if holder is not None:
                holder.setdefault(tables[depth], {})
        table = table_at(completed, tables)
        sources = default_sources(field)
        if table is not None and name not in table and sources:
            values_there = ((table_at(completed, key[:-1]) or {}).get(key[-1], defaults.get(key)) for key in sources)
            table[name] = next((value for value in values_there if value is not None), None)
    return completed
