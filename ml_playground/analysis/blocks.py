"""The residual stream of any model: its blocks are found while it computes."""

from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

from torch import Tensor, nn

from ml_playground.errors import AnalysisError
from ml_playground.models.base import LanguageModel
from ml_playground.runtime import Runtime


@dataclass(frozen=True)
class Block:
    """One call of a block.

    Attributes:
        module: the block.
        before: the residual stream that it took (B, T, C).
        after: the residual stream that it returned (B, T, C).
        rest: what it returned beside that, in a tuple; None if it returned the stream alone.
    """

    module: nn.Module
    before: Tensor
    after: Tensor
    rest: tuple[Any, ...] | None


class BlockCalls:
    """A block of code in which the calls of a model's blocks are noted.

    The blocks are the modules of an `nn.ModuleList` or `nn.Sequential` that are each called once, in order, take
    vectors (B, T, C) and return vectors of that shape; of several such lists it is the one with most parameters.

    Attributes:
        running: what is being called, among it the block, if any; the outermost first.
    """

    def __init__(self, model: nn.Module, *, shapes_only: bool = False) -> None:
        """Watch `model`; with `shapes_only` streams have no values (torch's meta device) and nothing else is kept."""
        self._shapes_only = shapes_only
        lists = (module for module in model.modules() if isinstance(module, nn.ModuleList | nn.Sequential))
        self._lists = [list(module.children()) for module in lists]
        self._ended: list[tuple[nn.Module, Block | None]] = []
        self.running: list[nn.Module] = []

    def __enter__(self) -> Self:
        with ExitStack() as hooks:
            for child in {child for children in self._lists for child in children}:
                hooks.callback(child.register_forward_pre_hook(self._begin).remove)
                hooks.callback(child.register_forward_hook(self._end, with_kwargs=True).remove)
            self._hooks = hooks.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._hooks.close()

    def _begin(self, module: nn.Module, _: tuple[Any, ...]) -> None:
        self.running.append(module)

    def _end(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        self.running.pop()
        block = _block(module, [*args, *kwargs.values()], output)
        if block is not None and self._shapes_only:
            block = Block(module, block.before.to("meta"), block.after.to("meta"), None)
        self._ended.append((module, block))

    def blocks(self) -> list[Block]:
        """The blocks' calls in order; none if the model has no such list."""
        stacks = [stack for children in self._lists if (stack := _stack(children, self._ended))]
        return max(stacks, key=_parameters) if stacks else []


def run_blocks(model: LanguageModel, ids: Tensor, runtime: Runtime) -> tuple[list[Block], Tensor]:
    """Compute the logits (B, T, V) of `ids` (B, T), and return the calls of the blocks in order as well.

    Args:
        model: in evaluation mode, on the runtime's device.
        ids: at most `block_size` in a row.
        runtime: device and number format.

    Raises:
        AnalysisError: the model has no blocks, see `BlockCalls`.
    """
    with BlockCalls(model) as calls, runtime.autocast():
        logits: Tensor = model(ids)
    blocks = calls.blocks()
    if not blocks:
        raise AnalysisError(
            "this model's residual stream cannot be read: it has no nn.ModuleList of blocks that are called one after "
            "the other, take vectors (B, T, C) and return vectors of that shape. If the model is your own, keep its "
            "blocks in one."
        )
    return blocks, logits


def _block(module: nn.Module, inputs: Sequence[Any], output: Any) -> Block | None:
    """The call of a module, if it is from vectors to vectors of the same shape."""
    after, rest = output, None
    if isinstance(output, tuple):
        returned: tuple[Any, ...] = output  # pyright: ignore[reportUnknownVariableType] -- a hook gets anything
        after, rest = next(iter(returned), None), returned[1:]
    if not isinstance(after, Tensor) or after.dim() != 3 or not after.is_floating_point():
        return None
    streams = (each for each in inputs if isinstance(each, Tensor) and each.shape == after.shape)
    return next((Block(module, stream, after, rest) for stream in streams), None)


def _stack(modules: Sequence[nn.Module], calls: Sequence[tuple[nn.Module, Block | None]]) -> list[Block]:
    """The calls of all `modules`, if they are blocks; otherwise none."""
    own = [(module, block) for module, block in calls if module in modules]
    blocks = [block for _, block in own if block is not None]
    same = len({block.after.shape for block in blocks}) == 1
    return blocks if same and [module for module, _ in own] == list(modules) and len(blocks) == len(own) else []


def _parameters(stack: Sequence[Block]) -> int:
    return sum(parameter.numel() for block in stack for parameter in block.module.parameters())


@contextmanager
def bypassed(blocks: Sequence[Block], stream: Tensor) -> Generator[None]:
    """In this block of code the model's blocks compute nothing: all of them return `stream` (B, T, C).

    So what the model computes is what follows its last block, such as the final norm and the head.
    """
    before = [vars(block.module).get("forward") for block in blocks]  # libraries replace it for a module too
    try:
        for block in blocks:
            block.module.forward = partial(_returned, stream if block.rest is None else (stream, *block.rest))
        yield
    finally:
        for block, own in zip(blocks, before, strict=True):
            if own is None:
                del block.module.forward
            else:
                block.module.forward = own


def _returned(output: Any, *args: Any, **kwargs: Any) -> Any:
    _ = args, kwargs
    return output
