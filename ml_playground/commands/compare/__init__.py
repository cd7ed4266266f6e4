"""Compare runs: what differs, whether it helped, by how much, and how sure that is."""

from collections.abc import Sequence
from pathlib import Path

from ml_playground.analysis import plots, tables
from ml_playground.analysis.comparison import compare
from ml_playground.analysis.comparison_page import as_html, as_markdown
from ml_playground.analysis.groups import grouped
from ml_playground.analysis.members import LeftOut, Member, read_members
from ml_playground.analysis.pictures import Picture, pictures
from ml_playground.analysis.results import Comparison
from ml_playground.commands.compare.samples import with_samples
from ml_playground.commands.find_runs import Found, find
from ml_playground.errors import PlaygroundError
from ml_playground.utils.files import atomic_write, write_json
from ml_playground.utils.paths import display_path


def run(what: list[str], base: str | None, exp_config: Path | None) -> None:
    """Print a table of the runs that `what` names, and write it as JSON, Markdown and HTML.

    Raises:
        PlaygroundError: there is nothing to compare, or not on one scale.
    """
    found = find(what, base, exp_config)
    members, left_out = read_members(found.folders, found.settings.evaluation)
    left_out = [*left_out, *found.left_out]
    if not members:
        reasons = "".join(f"\n  {each.name}: {each.reason}" for each in left_out)
        raise PlaygroundError(f"none of {len(found.folders)} runs can be compared.{reasons}")
    members = _base_first(members, found, left_out)
    groups, remarks = grouped(members, base=found.base, names=found.names)
    comparison, groups = compare(
        groups,
        evaluation=found.settings.evaluation,
        equivalence=found.settings.equivalence or None,
        left_out=left_out,
        notes=[*found.notes, *remarks],
    )
    print(tables.as_text(comparison), flush=True)
    folder = found.output or groups[0].members[0].run.directory.path / "reports" / "compare"
    try:
        if found.settings.samples:
            comparison = with_samples(comparison, groups, found.settings.samples, found.sampling)
    finally:  # whatever ended the sampling, Ctrl-C too
        _write(comparison, pictures(comparison, groups, found.settings.axis), folder)


def _base_first(members: Sequence[Member], found: Found, left_out: Sequence[LeftOut]) -> list[Member]:
    """The runs, those of the base first.

    Raises:
        PlaygroundError: none of the base's runs is among them; another is never taken in its place.
    """
    of_base = {path.resolve() for path in found.of_base}
    first = [each for each in members if each.run.directory.path in of_base]
    others = [each for each in members if each.run.directory.path not in of_base]
    if of_base and not first:
        reasons = {each.name: each.reason for each in left_out}
        runs = [display_path(path) for path in sorted(of_base)]
        listed = "".join(f"\n  {name}: {reasons.get(name, 'has not begun')}" for name in runs)
        names = dict.fromkeys(found.names.get(each.run.directory.path, each.name) for each in others)
        raise PlaygroundError(
            f"no run of the base can be compared yet (0 of {len(runs)}):{listed}\n"
            f"Wait for it, or choose another base with --base: {', '.join(names)}"
        )
    return [*first, *others]


def _write(comparison: Comparison, shown: Sequence[Picture], folder: Path) -> None:
    write_json(folder / "compare.json", comparison.as_json())
    for old in folder.glob("compare-*.svg"):
        old.unlink()
    for each in shown:
        plots.save(each.figure, folder / each.file)
    pages = {"compare.md": as_markdown(comparison, shown), "compare.html": as_html(comparison, shown)}
    for name, text in pages.items():
        with atomic_write(folder / name) as file:
            file.write(text.encode(errors="backslashreplace"))
    print(f"\nin {display_path(folder)}: compare.html, compare.md, compare.json")
