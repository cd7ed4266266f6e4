"""Runs in groups that differ in the seed only, named after what they change."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, count
from pathlib import Path

from ml_playground.analysis.configs import differences
from ml_playground.analysis.members import Measured, Member
from ml_playground.errors import PlaygroundError
from ml_playground.run.records import RunRecord
from ml_playground.run.surroundings import CODE
from ml_playground.utils.tables import Change, Table, is_table

_CHANGES_IN_A_NAME = 3


@dataclass(frozen=True)
class Group:
    """Runs that differ in their seed only.

    Attributes:
        name: what the table calls it.
        changes: what its configuration changes in that of the base.
        members: its finished runs, by seed.
        failed: its other runs.
    """

    name: str
    changes: tuple[Change, ...]
    members: tuple[Member, ...]
    failed: tuple[Member, ...]

    @property
    def any(self) -> Member:
        """One of its runs, for what they have in common."""
        return (*self.members, *self.failed)[0]

    @property
    def seeds(self) -> list[int]:
        """Those of its finished runs."""
        return [each.seed for each in self.members]

    @property
    def diverged(self) -> float:
        """The share of its runs that diverged."""
        runs = len(self.members) + len(self.failed)
        return sum(each.status == "diverged" for each in self.failed) / runs

    @property
    def measured(self) -> list[Measured]:
        """What its finished runs are worth, by seed."""
        return [each.measured for each in self.members if each.measured is not None]

    def is_called(self, name: str) -> bool:
        """Whether `name` is its own, or the name or the path of one of its runs."""
        runs = (*self.members, *self.failed)
        paths = {each.run.directory.path for each in runs}
        return name == self.name or name in {path.name for path in paths} or Path(name).resolve() in paths


def grouped(
    members: Sequence[Member],
    *,
    base: str | Path | None = None,
    names: Mapping[Path, str] | None = None,
) -> tuple[list[Group], list[str]]:
    """The runs in groups that differ in the seed only, the base first, and remarks.

    Args:
        members: the runs.
        base: the name of the base's group, or the name or folder of one of its runs; the first run's if left out.
        names: what the groups of runs in these folders are called, such as the arms of a sweep. Others are named after
            what they change.

    Raises:
        PlaygroundError: no group or run has that name.
    """
    named = names or {}
    lots: list[list[Member]] = []
    for each in members:
        lot = next((lot for lot in lots if same_but_for_the_seed(lot[0].record, each.record)), None)
        if lot is None:
            lots.append([each])
        else:
            lot.append(each)
    remarks: list[str] = []
    unnamed = [_group(lot, remarks) for lot in lots]
    if not unnamed:
        return [], remarks
    groups = _named(unnamed, unnamed[0], named)
    if base is not None:
        chosen = next((index for index, group in enumerate(groups) if group.is_called(str(base))), None)
        if chosen is None:
            raise PlaygroundError(f"no base {str(base)!r}. There are: {', '.join(group.name for group in groups)}")
        groups = _named([unnamed[chosen], *unnamed[:chosen], *unnamed[chosen + 1 :]], unnamed[chosen], named)
    return groups, [*remarks, *_remarks(groups)]


def same_but_for_the_seed(one: RunRecord, other: RunRecord) -> bool:
    """Whether two runs are of the same data, code and configuration."""
    return one.data == other.data and _code(one) == _code(other) and not differences(one.config, other.config)


def _code(record: RunRecord) -> dict[str, str]:
    """Hashes of what may change without its configuration, such as that of "code of m.py"."""
    hashes = {name: version for name, version in record.versions.items() if name.startswith(CODE)}
    if record.model_identity is not None:
        train: Table = record.config["train"]
        pretrained = train.get("hf_model", {}).get("model_name")
        name = f"{CODE}{train['model'].get('file')}" if pretrained is None else f"weights of {pretrained}"
        hashes[name] = record.model_identity
    return hashes


def _other_code(group: Group, base: Group) -> list[str]:
    """What has other content than in the base, such as "other code of m.py", though it is configured alike."""
    own, of_base = _code(group.any.record), _code(base.any.record)
    return [f"other {name}" for name in own if name in of_base and own[name] != of_base[name]]


def _remarks(groups: Sequence[Group]) -> Iterator[str]:
    """What names do not say: other code, and what else than the seed runs of one group do not share."""
    for group in groups:
        if unsaid := [each for each in _other_code(group, groups[0]) if each not in group.name]:
            yield f"{group.name} has {', '.join(unsaid)} than {groups[0].name}"
        if mixed := [" and ".join(each) for each in _surroundings(group) if len(each) > 1]:
            yield (
                f"runs of {group.name} were trained with {'; '.join(mixed)}: they differ for that reason too, not only "
                "in the seed"
            )


def _surroundings(group: Group) -> Iterator[list[str]]:
    """For the device and each library, those that its runs were trained with, at any of their starts."""
    found: dict[str, set[str]] = {"device": set()}
    for each in (*group.members, *group.failed):
        versions = {name: value for name, value in each.record.versions.items() if not name.startswith(CODE)}
        for name, value in {**versions, "device": each.record.machine.device}.items():
            found.setdefault(name, set()).add(value)
        for change in (change for start in each.record.starts for change in start.changed):
            name = change.key.removeprefix("[versions] ").removeprefix("[machine] ")
            if name in found and change.before is not None:
                found[name].add(change.before)
    for name, values in found.items():
        yield [value if name == "device" else f"{name} {value}" for value in sorted(values)]


def pairs(group: Group, base: Group) -> list[int]:
    """The seeds whose runs are compared in pairs, since both groups have them with the same batches.

    Empty for fewer than two, or other batches: then all runs are compared as independent ones.
    """
    common = [seed for seed in group.seeds if seed in base.seeds]
    return common if len(common) > 1 and group.any.batches == base.any.batches else []


def _group(lot: Sequence[Member], remarks: list[str]) -> Group:
    """A group without a name. Of runs with the same seed the first that is finished counts: they are one experiment."""
    of_seed: dict[int, Member] = {}
    for each in sorted(lot, key=lambda each: (each.seed, each.status != "finished")):
        if (first := of_seed.setdefault(each.seed, each)) is not each:
            remarks.append(
                f"{each.name} has the configuration and the seed of {first.name}: it is not another sample, and is "
                "left out"
            )
    kept = of_seed.values()
    members = tuple(each for each in kept if each.status == "finished")
    return Group("", (), members, tuple(each for each in kept if each.status != "finished"))


def _named(groups: Sequence[Group], base: Group, names: Mapping[Path, str]) -> list[Group]:
    """The groups with their names and what they change in the base."""
    found: list[Group] = []
    for group in groups:
        changes = tuple(differences(base.any.record.config, group.any.record.config))
        other = _other_code(group, base)
        given = next((names[path] for path in map(_path, (*group.members, *group.failed)) if path in names), None)
        name = given or ("base" if group is base else _name(changes, other))
        taken = {each.name for each in found}
        if name in taken:
            name = ", ".join([*other, *map(stated, changes)]) or name
        numbered = chain([name], (f"{name} ({number})" for number in count(2)))
        name = next(each for each in numbered if each not in taken)
        found.append(replace(group, name=name, changes=changes))
    return found


def _path(member: Member) -> Path:
    return member.run.directory.path.resolve()


def _name(changes: Sequence[Change], other: Sequence[str]) -> str:
    """What a group changes in the base, in short; `other` code comes first."""
    if not changes:
        return ", ".join(other) or "other data"
    more = len(changes) - _CHANGES_IN_A_NAME
    shown = ", ".join([*other, *map(_short, changes[: _CHANGES_IN_A_NAME if more > 1 else None])])
    return f"{shown}, {more} more" if more > 1 else shown


def _short(change: Change) -> str:
    section, _, key = change.key.rpartition(" ")
    if key == "kind":  # of a part, whose name says more
        key = section.strip("[]").rpartition(".")[2]
    value = change.now["kind"] if is_table(change.now) and "kind" in change.now else change.now
    return f"without {key}" if value is None else f"{key} = {_value(value)}"


def stated(change: Change) -> str:
    """A change as a line of TOML with its section, such as `[train.model] n_layer = 6`."""
    return f"{change.key} = {'none' if change.now is None else _value(change.now)}"


def _value(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
