"""Changes of a configuration in few words: without what follows from another kind of a part."""

from ml_playground.config.experiment import part_at, section_at
from ml_playground.config.fields import is_derived
from ml_playground.utils.tables import Change, KeyPath, Table, is_table, table_at


def brief(changes: list[Change], config: Table) -> list[Change]:
    """The changes, as one would state them in a TOML file.

    Where the kind of a part is another, options that have that kind's defaults are left out, and so are options that
    are computed from others, where others of their table are changed. A part whose options all
    have the defaults of its kind is that kind's name.

    Args:
        changes: to `config`, with keys such as `[train.optim] learning_rate`.
        config: the resolved configuration after the changes.
    """
    tables = [_path(each.key)[:-1] for each in changes]
    kinds = {table for table, each in zip(tables, changes, strict=True) if _path(each.key)[-1] == "kind"}
    found: list[Change] = []
    for table, each in zip(tables, changes, strict=True):
        if not _follows(each, config, of_kind=table in kinds, alone=tables.count(table) == 1):
            before, now = (_named(value, _path(each.key), config) for value in (each.before, each.now))
            found.append(Change(each.key, before, now))
    return found


def _path(key: str) -> KeyPath:
    """The path of a key such as `[train.optim] learning_rate`."""
    table, _, name = key.rpartition(" ")
    return (*filter(None, table.strip("[]").split(".")), name)


def _follows(change: Change, config: Table, *, of_kind: bool, alone: bool) -> bool:
    """Whether an option has the value that others of its table give it: a kind that was changed too, or any that was.

    Args:
        change: the change.
        config: the resolved configuration after all changes.
        of_kind: whether the kind of its table was changed.
        alone: whether it is the only change in its table.
    """
    *tables, name = _path(change.key)
    at = tuple(tables)
    section, table = section_at(at, config), table_at(config, at)
    if name == "kind" or alone or section is None or table is None or name not in section.model_fields:
        return False
    field, values = section.model_fields[name], list[object]()
    if of_kind or is_derived(field):
        values.append(section.completed({key: value for key, value in table.items() if key != name}).get(name))
    if of_kind:
        values.append(section.completed({"kind": table.get("kind")}).get(name, field.default))
    return _named(change.now, (*at, name), config) in values


def _named(value: object, path: KeyPath, config: Table) -> object:
    """The name of its kind for a part that has that kind's defaults, else the value."""
    part = part_at(path, config)
    if part is None or not is_table(value) or "kind" not in value:
        return value
    fields = part.options(value).model_fields
    stated = [name for name, each in value.items() if name not in fields or fields[name].default != each]
    return value["kind"] if stated in ([], ["kind"]) else value
