"""Learning rates as pure functions of the step."""

import math


def cosine_with_warmup(
    step: int, *, learning_rate: float, warmup_iters: int, lr_decay_iters: int, min_lr: float, decay_lr: bool
) -> float:
    """Linear warm-up, then half a cosine down to `min_lr` (Loshchilov & Hutter 2017, "SGDR"); step 0 is the first.

    Without `decay_lr` the rate stays at `learning_rate` after the warm-up.
    """
    if step < warmup_iters:
        return learning_rate * (step + 1) / (warmup_iters + 1)
    if not decay_lr:
        return learning_rate
    if step >= lr_decay_iters:
        return min_lr
    progress = (step - warmup_iters) / (lr_decay_iters - warmup_iters)
    return min_lr + 0.5 * (1 + math.cos(math.pi * progress)) * (learning_rate - min_lr)
