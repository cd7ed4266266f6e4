"""What to bear in mind when reading a comparison, and what cannot be compared at all."""

from collections.abc import Iterator, Sequence

from ml_playground.analysis.groups import Group, pairs
from ml_playground.analysis.members import Evaluation
from ml_playground.analysis.results import Row, Unit, counted
from ml_playground.run.surroundings import CODE

_SIMILAR_COST = (0.95, 1.05)


def incomparable(group: Group, base: Group, evaluation: Evaluation) -> str | None:
    """Why a group's losses are not on the base's scale; None if they are."""
    if not group.members:
        return None
    text, other = group.measured[0].text, base.measured[0].text
    if text != other and group.measured[0].token_ids != base.measured[0].token_ids:
        return f"its validation text is another than that of {base.name} ({text[:8]} instead of {other[:8]})"
    if evaluation == "evaluate":
        counts = [each.measured[0].tokens for each in (group, base)]
        if group.measured[0].token_ids == base.measured[0].token_ids and counts[0] != counts[1]:
            return f"'evaluate' measured {counts[0]} of its tokens, and {counts[1]} of {base.name}: run it again"
        return None
    own, of_base = (_tokens_read(each) for each in (group, base))
    if own != of_base:
        return (
            f"its loss is of {_words(own)}, that of {base.name} of {_words(of_base)}: of different text. Run "
            "'evaluate' for both and set [compare] evaluation = \"evaluate\"."
        )
    return None


def _tokens_read(group: Group) -> tuple[int, str] | None:
    """How many tokens of the validation text, and which, an evaluation during training reads; None for all of it."""
    config = group.any.record.config["train"]
    iters = int(config["runtime"]["eval_iters"])
    return (iters * int(config["data"]["block_size"]), group.measured[0].token_ids) if iters else None


def _words(read: tuple[int, str] | None) -> str:
    return "the whole text" if read is None else f"the first {read[0]:,} of its tokens"


def remarks(groups: Sequence[Group], rows: Sequence[Row], unit: Unit, evaluation: Evaluation) -> Iterator[str]:
    """What to bear in mind when reading the `rows` of these groups, the base first."""
    base = groups[0]
    if any(0 < len(group.members) < 2 for group in groups):
        yield (
            "one seed is not enough to tell a difference from chance: train each configuration with several, such as "
            "[sweep] seeds = [1, 2, 3, 4, 5]"
        )
    for group, row in zip(groups, rows, strict=True):
        if row.failed and group.members:
            yield (
                f"{group.name}: {counted(row.failed)} of {len(group.members) + sum(row.failed.values())} runs; the "
                "numbers are of the others, which flatters it: no verdict is in its favour"
            )
        if group.members and not all(each.curve for each in group.members):
            lacking = ", ".join(each.name for each in group.members if not each.curve)
            yield f"metrics.jsonl of {lacking} is incomplete: what {group.name} needs to reach a loss is unknown"
        if len(steps := sorted({each.progress.step for each in group.members})) > 1:
            yield (
                f"runs of {group.name} ended after {', '.join(f'{each:,}' for each in steps)} steps: what it needs to "
                "reach a loss is unknown"
            )
        yield from _changed_on_the_way(group)
    yield from _remarks_on_scale(groups, evaluation)
    if unit == "bits/byte":
        yield "the tokenizers differ: losses are compared in bits per byte of the text only"
    for group, row in zip(groups[1:], rows[1:], strict=True):
        if (seeds := pairs(group, base)) and not seeds == group.seeds == base.seeds:
            yield f"{group.name} is compared on the seeds that {base.name} has too: {', '.join(map(str, seeds))}"
        yield from _remarks_on_cost(row, rows[0])
        yield from _remarks_on_surroundings(group, base)


def _changed_on_the_way(group: Group) -> Iterator[str]:
    """Runs that were resumed with other options than they had begun with."""
    for each in group.members:
        for start in each.record.starts:
            changed = [change.key for change in start.changed if _matters(change.key)]
            if changed:
                yield f"{each.name} was changed at step {start.step:,}, after it had begun: {', '.join(changed)}"


def _matters(key: str) -> bool:
    section, _, option = key.rpartition(" ")
    if key == "[model] identity" or key.startswith(f"[versions] {CODE}"):
        return True
    return section.startswith("[train.") and (section != "[train.runtime]" or option in ("max_iters", "seed"))


def _remarks_on_scale(groups: Sequence[Group], evaluation: Evaluation) -> Iterator[str]:
    base, *others = groups
    size = base.any.batches["block_size"]
    for group in others:
        if evaluation == "end" and (own := group.any.batches["block_size"]) != size:
            yield (
                f"{group.name} has block_size = {own}, {base.name} {size}: predictions with more text before them are "
                "better for that alone. Run 'evaluate' with one context for both and set [compare] evaluation = "
                '"evaluate"'
            )


def _remarks_on_cost(row: Row, base: Row) -> Iterator[str]:
    if row.cost is None or base.cost is None or not base.cost.flops:
        return
    ratio = row.cost.flops / base.cost.flops
    if not _SIMILAR_COST[0] < ratio < _SIMILAR_COST[1]:
        yield f"{row.name} takes {ratio:.2g} times the FLOPs of {base.name}"


def _remarks_on_surroundings(group: Group, base: Group) -> Iterator[str]:
    own, other = group.any.record, base.any.record
    changed = [
        f"{name} {own.versions.get(name, 'none')}"
        for name in own.versions
        if own.versions[name] != other.versions.get(name)
    ]
    if own.machine.device != other.machine.device:
        changed.append(own.machine.device)
    if changed:
        yield f"{group.name} was trained with {', '.join(changed)}, {base.name} was not"
