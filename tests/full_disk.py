"""A full disk, without filling one."""

import resource
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def full_disk(size: int) -> Generator[None]:
    """The system refuses to make any file larger than `size` bytes, as it does when a quota is used up."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
