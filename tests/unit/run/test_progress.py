from ml_playground.run.progress import Progress


def test_patience_begins_anew_with_each_improvement() -> None:
    progress = Progress()
    counts: list[int] = []
    for loss in (3.0, 3.5, 4.0, 2.0, 2.5):
        progress.record_evaluation(loss, bits_per_byte=1.0)
        counts.append(progress.evals_since_best)
    assert counts == [0, 1, 2, 0, 1]
    assert progress.best_val_loss == 2.0
