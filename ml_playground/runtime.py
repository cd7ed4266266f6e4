"""Device, number format and seeds: resolved once from the configuration, then passed on."""

import ctypes
import os
import resource
import shutil
import sys
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ml_playground.config.sections import Device, SampleDType
from ml_playground.errors import DeviceError, OutOfMemoryError

_THREADS = torch.get_num_threads()  # that PyTorch takes by itself


@dataclass(frozen=True)
class Runtime:
    """Where and in which number format the forward pass runs, and which of how many processes this one is.

    Alone, a process is the main one, its sums are those of all, and what it decides is decided.
    """

    device: torch.device
    dtype: torch.dtype
    rank: int = 0
    world_size: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and prints for all."""
        return self.rank == 0

    def sum(self, value: Tensor) -> Tensor:
        """The sum of `value` over all processes."""
        return value

    def any(self, flag: bool) -> bool:
        """Whether `flag` is true in any process."""
        return flag

    def autocast(self) -> AbstractContextManager[object]:
        """A context that computes in `dtype`; weights and gradients stay float32."""
        if self.dtype == torch.float32:
            return nullcontext()
        return torch.autocast(self.device.type, self.dtype)


def use_threads(count: int) -> None:
    """Compute with so many threads on the CPU; 0 is as many as PyTorch takes by itself."""
    if torch.get_num_threads() != (count or _THREADS):
        torch.set_num_threads(count or _THREADS)


def resolve(device: Device, dtype: SampleDType, *, deterministic: bool = False, threads: int = 0) -> Runtime:
    """Choose the device and check that it can do what is asked of it. With `int8` weights it computes in bfloat16.

    `threads` is as in `use_threads`.

    Raises:
        DeviceError: this machine, or this build of PyTorch, lacks the device or the number format.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise DeviceError(f'device = "cuda": PyTorch {torch.__version__} finds no usable GPU. Set "cpu" or "auto".')
    if device == "mps" and not torch.backends.mps.is_available():
        raise DeviceError(f'device = "mps": PyTorch {torch.__version__} finds no Apple GPU. Set "cpu" or "auto".')
    if device == "cuda" and dtype == "bfloat16" and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise DeviceError('dtype = "bfloat16": this GPU cannot do it. Set "float16" or "float32".')
    if device != "cpu" and dtype == "int8":
        raise DeviceError(f'dtype = "int8": is for the CPU, and this is {device}. Set "bfloat16".')
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS needs fixed workspaces for it
    if deterministic != torch.are_deterministic_algorithms_enabled():  # asking again would import torch's compiler
        torch.use_deterministic_algorithms(deterministic)
    use_threads(threads)
    if device == "cpu":
        _keep_freed_memory()
    return Runtime(torch.device(device), torch.bfloat16 if dtype == "int8" else getattr(torch, dtype))


def _keep_freed_memory() -> None:
    """Have glibc keep large freed blocks for the next step, instead of faulting in every page of them again.

    With GPT-2's vocabulary, whose logits are large, this halves the time of a step (docs/LOG.md).
    """
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # another C library, such as musl
            libc = ctypes.CDLL("libc.so.6")
            libc.mallopt(-3, 2**30)  # M_MMAP_THRESHOLD: blocks below this size come from the heap
            libc.mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD: which is given back only beyond this size


def compile_model(model: torch.nn.Module, runtime: Runtime) -> None:
    """Have `model` compiled at its first call, in place, so that its parameters keep their names.

    Raises:
        DeviceError: see `compiled`.
    """
    _require_compiler(runtime)
    model.compile()  # pyright: ignore[reportUnknownMemberType] -- torch does not type it


def compiled(function: Callable[..., Tensor], runtime: Runtime) -> Callable[..., Tensor]:
    """`function` compiled at its first call, for inputs of many lengths.

    Raises:
        DeviceError: the CPU needs a C++ compiler for it, and there is none.
    """
    _require_compiler(runtime)
    made: Callable[..., Tensor] = torch.compile(function, dynamic=True)  # pyright: ignore[reportUnknownMemberType] -- as above
    return made


def _require_compiler(runtime: Runtime) -> None:
    if runtime.device.type == "cpu" and not any(map(shutil.which, ("c++", "g++", "clang++", "cl"))):
        raise DeviceError("compile = true: PyTorch needs a C++ compiler for that on a CPU. Install one, or set false.")


@contextmanager
def memory_errors_explained() -> Generator[None]:
    """Turns what torch raises when memory runs out, or its compiler fails, into a message that says what to change."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if _is_the_compilers(error):
            _, *lines = str(error).strip().splitlines()  # the first names the backend
            what = next((line for line in lines if "error:" in line), lines[0]).strip().rstrip(".")
            raise DeviceError(
                f"compile = true: PyTorch could not compile the model ({what}). It needs a working C++ compiler and "
                "Python's header files, such as those of Debian's g++ and python3-dev. Install them, or set false."
            ) from error
        words = ("out of memory", "allocate memory")
        if not isinstance(error, MemoryError) and not any(word in str(error) for word in words):
            raise
        raise OutOfMemoryError(
            "out of memory. Make [train.data] batch_size smaller (and grad_accum_steps larger by the same factor, "
            "which computes the same), or block_size, or the model. One that is fine-tuned takes less with "
            "gradient_checkpointing = true."
        ) from error


def _is_the_compilers(error: Exception) -> bool:
    """Whether what torch.compile calls has failed, not what it was given."""
    dynamo = sys.modules.get("torch._dynamo.exc")  # importing it takes seconds
    return dynamo is not None and isinstance(error, dynamo.BackendCompilerFailed)


def peak_memory(device: torch.device) -> int | None:
    """Most bytes that this process has had on a GPU, or has had at all where `device` is the CPU; None if unknown."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if device.type == "mps":
        return torch.mps.driver_allocated_memory()
    unit = 1 if sys.platform == "darwin" else 2**10  # of ru_maxrss
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def mix_seed(*entropy: int) -> int:
    """One 64-bit seed of any number of integers, such as `(seed, step)`: same integers, same seed."""
    return int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0])


def seed_everything(*entropy: int) -> None:
    """Seed torch's generators on all devices in use with `mix_seed` of the integers.

    `torch.manual_seed` does so too, and takes 0.1 ms for notes to the devices that are not.
    """
    seed = mix_seed(*entropy)
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]  # torch does not type it
        torch.cuda.manual_seed_all(seed)
    if torch.backends.mps.is_available():
        torch.mps.manual_seed(seed)


def device_name(device: torch.device) -> str:
    """The name of a GPU, or the sort of device, such as `cpu`."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
