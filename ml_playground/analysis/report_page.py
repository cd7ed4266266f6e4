"""A report as parts of a page, and those as Markdown."""

from collections.abc import Iterator, Sequence

from ml_playground.analysis import markdown, report_plots
from ml_playground.analysis.copies import Copying
from ml_playground.analysis.drawing import inline
from ml_playground.analysis.fit import Bin
from ml_playground.analysis.page import (
    Cell,
    Column,
    Details,
    Figure,
    Heading,
    Part,
    Passage,
    SideBySide,
    Table,
    Text,
    Token,
    page,
)
from ml_playground.analysis.report import Report
from ml_playground.analysis.subject import made_from
from ml_playground.analysis.variety import REPEATED, Variety

_SHOWN_SAMPLES = 6


def as_html(report: Report) -> str:
    """The report as a page of its own."""
    return page(_title(report), [*_parts(report), *_passages(report), made_from(report.source)], lead=_lead(report))


def as_markdown(report: Report) -> str:
    """The report in Markdown, without the passages whose tokens have colours."""
    return markdown.as_markdown(_title(report), [*_parts(report), made_from(report.source)], lead=_lead(report))


def _title(report: Report) -> str:
    return f"Report on {report.name}"


def _lead(report: Report) -> str:
    fit, source = report.fit, report.source
    return (
        f"{source.checkpoint}, step {source.step:,}: validation loss {fit.validation_loss:.4f} nats/token "
        f"({fit.bits_per_byte:.4f} bits/byte), {fit.gap:+.4f} against the training text."
    )


def _parts(report: Report) -> Iterator[Part]:
    yield from _fit(report)
    yield from _copying(report)
    yield from _memory(report)
    yield from _variety(report)


def _fit(report: Report) -> Iterator[Part]:
    fit = report.fit
    yield Heading("Fit")
    yield Text(
        f"{_measured(report)} Of the training text as many tokens are measured as of the validation text, in windows "
        "spread evenly over it."
    )
    columns = [
        Column("text"),
        Column("loss", ".4f", "nats per token"),
        Column("right", ".2%", "share of the tokens that were the likeliest prediction"),
        Column("tokens", ",", "how many were predicted"),
    ]
    rows: list[list[Cell]] = [
        ["validation", fit.validation_loss, fit.validation_accuracy, fit.validation_tokens],
        ["training", fit.training_loss, fit.training_accuracy, fit.training_tokens],
        ["gap", fit.gap, fit.validation_accuracy - fit.training_accuracy, None],
    ]
    yield Table(columns, rows)
    yield Heading("Loss by position", 3)
    yield from _bins("tokens seen", fit.by_position, fit.validation_loss)
    yield Heading("Loss by frequency", 3)
    yield from _bins("occurrences in the training text", fit.by_frequency, fit.validation_loss)
    yield Heading("Calibration", 3)
    yield Text(
        f"Expected calibration error {fit.calibration.error:.4f}, in {len(fit.calibration.bins)} bins of equal width: "
        "the mean difference between the share of right predictions and the probability that the model gives them. "
        f"The mean entropy of its predictions is {fit.entropy:.4f} nats. If that is below the loss of "
        f"{fit.validation_loss:.4f}, the model is too sure of itself."
    )
    caption = "How often the likeliest token is right, over its probability. Large points are many predictions."
    yield Figure(inline(report_plots.calibration(fit.calibration)), caption, caption)
    confidences: list[list[Cell]] = [
        [f"{each.low:.2f}-{each.high:.2f}", each.confidence, each.accuracy, each.tokens]
        for each in fit.calibration.bins
        if each.tokens
    ]
    columns = [Column("probability"), Column("mean probability", ".3f"), Column("right", ".3f"), Column("tokens", ",")]
    yield Details("Numbers", [Table(columns, confidences)])


def _measured(report: Report) -> str:
    if windows := report.source.settings.get("eval_iters"):
        return f"Losses of the first {windows:,} windows of the validation text ([train.runtime] eval_iters)."
    return "Exact losses: each token is predicted once, in the fixed windows of validation."


def _bins(name: str, bins: Sequence[Bin], mean: float) -> Iterator[Part]:
    caption = f"Validation loss by {name}"
    yield Figure(inline(report_plots.bins(bins, name, mean)), caption, caption)
    rows: list[list[Cell]] = [
        [f"{each.first:,}" if each.first == each.last else f"{each.first:,}-{each.last:,}", each.loss, each.tokens]
        for each in bins
        if each.tokens
    ]
    columns = [Column(name), Column("loss", ".4f", "nats per token"), Column("tokens", ",")]
    yield Details("Numbers", [Table(columns, rows)])


def _copying(report: Report) -> Iterator[Part]:
    made, real = report.copied_samples, report.copied_validation
    yield Heading("Copying")
    yield Text(
        "What of the samples occurs in the training text, token for token. The validation text is the zero line: it is "
        "not a copy, and yet this much of it occurs there. Both rows are as many texts of the same lengths: where the "
        "validation text has fewer or shorter ones than there are samples, samples are left out or cut."
    )
    shares = [Column(f"{each.length} tokens", ".1%", "share of such passages that occur") for each in made.shares]
    columns = [
        Column("text"),
        Column("texts", ","),
        Column("length", ".1f", "mean, in tokens"),
        Column("median", ".0f", "of the longest passages that occur, in tokens"),
        Column("p95", ".0f", "95th percentile of the longest passages that occur, in tokens"),
        Column("longest", ",", "passage of all that occurs, in tokens"),
        Column("whole", ",", "texts that occur as a whole"),
        *shares,
    ]
    yield Table(columns, [_copied("samples", made), _copied("validation", real)])
    yield Details(
        "The longest passages that occur in the training text",
        [SideBySide([("samples", made.passage), ("validation", real.passage)])],
    )


def _copied(name: str, copying: Copying) -> list[Cell]:
    numbers: list[Cell] = [copying.texts, copying.tokens, copying.median, copying.percentile_95, copying.longest]
    return [name, *numbers, copying.whole, *(each.share for each in copying.shares)]


def _memory(report: Report) -> Iterator[Part]:
    what = "documents" if report.has_documents else "windows"
    yield Heading("Memory")
    yield Text(
        f"{what.capitalize()} that the model completes word for word from their first {report.probe:,} tokens, "
        "always taking the likeliest token, up to their end or that of the model's context. What it completes of the "
        "validation text can be guessed; what it completes beyond that of the training text it knows by heart."
    )
    rows: list[list[Cell]] = [
        [
            name,
            each.documents,
            each.whole,
            each.whole / each.documents if each.documents else None,
            each.right,
            each.asked,
        ]
        for name, each in (("training", report.memory_training), ("validation", report.memory_validation))
    ]
    columns = [
        Column("text"),
        Column(what, ","),
        Column("completed", ","),
        Column("share", ".1%"),
        Column("right", ".1f", "tokens before the first wrong one, on average"),
        Column("asked", ".1f", "tokens to complete, on average"),
    ]
    yield Table(columns, rows)


def _variety(report: Report) -> Iterator[Part]:
    made, real = report.variety_samples, report.variety_validation
    yield Heading("Variety")
    yield Text(
        f"Different n-grams are counted in the first {made.words:,} words of both, since their share falls "
        "with the length."
    )
    columns = [
        Column("text"),
        Column("texts", ","),
        Column("empty", ".1%"),
        Column("unique", ".1%"),
        *(Column(f"distinct-{length}", ".3f", "different n-grams of words as a share of all") for length in (1, 2, 3)),
        Column("repetition", ".1%", f"share of {REPEATED}-grams of words that have occurred in the text before"),
    ]
    yield Table(columns, [_varied("samples", made), _varied("validation", real)])
    if made.frequent:
        rows: list[list[Cell]] = [[text, count] for text, count in made.frequent]
        yield Table([Column("sample"), Column("times", ",")], rows, "Most frequent samples")
    first = report.samples[:_SHOWN_SAMPLES]
    named = [(f"sample {number}", text) for number, text in enumerate(first, start=1)]
    yield Details(f"The first {len(first):,} samples", [SideBySide(named)])


def _varied(name: str, variety: Variety) -> list[Cell]:
    return [name, variety.texts, variety.empty, variety.unique, *variety.distinct, variety.repetition]


def _passages(report: Report) -> Iterator[Part]:
    yield Heading("Passages")
    yield Text("Windows of the validation text. Hover over a token to see what was likeliest in its place.")
    for each in report.passages:
        tokens = [Token(token.text, token.bits, token.alternatives) for token in each.tokens]
        yield Passage(tokens, f"{each.kind.capitalize()}: {each.loss:.4f} nats/token, from token {each.start:,} on.")
