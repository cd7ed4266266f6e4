"""Muon: orthogonalised momentum updates for matrices."""

from typing import Any

import torch
from torch import Tensor

from ml_playground.training.optimizers.eager import Eager

# Quintic whose iteration brings all singular values near 1 fastest, within 0.7 to 1.2 (Jordan et al. 2024).
_A, _B, _C = 3.4445, -4.7750, 2.0315
_ITERATIONS = 5


class Muon(Eager, torch.optim.AdamW):
    """Muon for the groups that say `muon = True`, AdamW for the others.

    A matrix is updated by its gradient's running mean, orthogonalised (all singular values near 1) by Newton-Schulz
    iterations (Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks"). Matrices of one shape
    are processed as a batch.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        """Takes the arguments of `torch.optim.AdamW`."""
        super().__init__(*arguments, **options)
        # A loss scaler leaves it to fused optimisers to skip steps with infinite gradients; Muon's would not.
        self._step_supports_amp_scaling = False

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """One step of all groups; a `closure` computes the loss and its gradients first."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            if group["muon"]:
                self._step_matrices(group)
        super().step()  # pyright: ignore[reportUnknownMemberType] -- torch does not type it
        return loss

    def _step_matrices(self, group: dict[str, Any]) -> None:
        moving = [matrix for matrix in group["params"] if matrix.grad is not None]
        by_shape: dict[tuple[int, ...], list[Tensor]] = {}
        for matrix in moving:
            by_shape.setdefault(tuple(sorted(matrix.shape)), []).append(matrix)
        for matrices in by_shape.values():
            directions = orthogonalised(torch.stack([_wide(self._momentum(each, group)) for each in matrices]))
            for matrix, direction in zip(matrices, directions.unbind(), strict=True):
                rows, columns = matrix.shape
                matrix.mul_(1 - group["lr"] * group["weight_decay"])
                # Tall matrices take larger steps, so that outputs change equally for any shape.
                scale = max(1, rows / columns) ** 0.5
                matrix.add_(direction if rows <= columns else direction.T, alpha=-group["lr"] * scale)
        for matrix in moving:
            matrix.grad = None  # so that AdamW skips them

    def _momentum(self, matrix: Tensor, group: dict[str, Any]) -> Tensor:
        """Nesterov momentum: the gradient's running mean, one step ahead."""
        state = self.state[matrix]
        if not state:
            state["step"] = torch.zeros(())  # AdamW expects it in every state that it loads
            state["momentum_buffer"] = torch.zeros_like(matrix)
        mean: Tensor = state["momentum_buffer"]
        assert matrix.grad is not None
        mean.lerp_(matrix.grad, 1 - group["momentum"])
        return matrix.grad.lerp(mean, group["momentum"])


def orthogonalised(matrices: Tensor) -> Tensor:
    """Matrices (N, R, C), R at most C, with the same singular vectors and all singular values near 1."""
    start = matrices.bfloat16() if matrices.is_cuda else matrices
    x = start / (start.square().sum(dim=(-2, -1), keepdim=True).sqrt() + 1e-7)
    for _ in range(_ITERATIONS):
        gram = x @ x.transpose(-2, -1)
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=_B, alpha=_C), x, beta=_A)
    return x.to(matrices.dtype)


def _wide(matrix: Tensor) -> Tensor:
    return matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
