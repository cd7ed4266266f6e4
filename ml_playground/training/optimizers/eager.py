"""torch's optimisers without torch's compiler, which takes seconds to import and which a step does not use."""

import inspect
from collections.abc import Callable
from typing import Any, TypeVar, cast

import torch
from torch.optim import Optimizer

Kind = TypeVar("Kind", bound=Optimizer)


def _undecorated(method: Callable[..., Any]) -> Any:
    return inspect.unwrap(method)


class Eager(Optimizer):
    """A mixin to put before one of torch's optimisers, so that it does not import `torch._dynamo`.

    torch decorates these methods to keep its compiler out of them when a user traces an optimiser, and for that imports
    the compiler at the first call. A decorated function keeps the original as `__wrapped__` (`functools.wraps`),
    which is what is called here: the same code, so the same bits. torch itself is not patched, `torch.compile` of a
    model works as usual, and if the compiler is imported anyway nothing changes.
    """

    add_param_group = _undecorated(Optimizer.add_param_group)
    load_state_dict = _undecorated(Optimizer.load_state_dict)
    state_dict = _undecorated(Optimizer.state_dict)
    zero_grad = _undecorated(Optimizer.zero_grad)

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """One step of the optimiser itself."""
        return _undecorated(super(Eager, type(self)).step)(self, closure)


def eager(kind: type[Kind]) -> type[Kind]:
    """One of torch's optimisers with `Eager` mixed in."""
    return cast("type[Kind]", type(kind.__name__, (Eager, kind), {"__doc__": kind.__doc__}))
