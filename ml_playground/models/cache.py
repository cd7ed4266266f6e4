"""Key-value caches, so that the next token costs one position and not all of them."""

from torch import Tensor


class LayerCache:
    """One layer's keys and values: room for `block_size` positions, of which the first `length` are filled."""

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        """Use these buffers for keys and values, (B, G, block_size, D) each."""
        self._keys = keys
        self._values = values
        self.length = 0

    def append(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Append the next T positions' `keys` and `values` (B, G, T, D); return those of all positions so far."""
        end = self.length + keys.shape[2]
        self._keys[:, :, self.length : end] = keys
        self._values[:, :, self.length : end] = values
        self.length = end
        return self._keys[:, :, :end], self._values[:, :, :end]

    def repeated(self, rows: int) -> "LayerCache":
        """A copy of a cache of one row, repeated to `rows` rows."""
        copy = LayerCache(self._keys.repeat(rows, 1, 1, 1), self._values.repeat(rows, 1, 1, 1))
        copy.length = self.length
        return copy


class Cache:
    """The tokens so far, and the keys and values of each layer."""

    def __init__(self, ids: Tensor, layers: list[LayerCache]) -> None:
        """Use this buffer for the ids, (B, block_size)."""
        self.memory = ids
        self.layers = layers
        self.length = 0

    @property
    def ids(self) -> Tensor:
        """The tokens so far, (B, length)."""
        return self.memory[:, : self.length]

    def append(self, ids: Tensor) -> None:
        """Append the next tokens, (B, T)."""
        end = self.length + ids.shape[1]
        self.memory[:, self.length : end] = ids
        self.length = end

    def repeated(self, rows: int) -> "Cache | None":
        """A copy of a cache of one row, repeated to `rows` rows; None for a kind of cache that is not known here."""
        plain = type(self) is Cache and vars(self).keys() == {"memory", "layers", "length"}
        if not plain or not all(type(layer) is LayerCache for layer in self.layers):
            return None
        copy = Cache(self.memory.repeat(rows, 1), [layer.repeated(rows) for layer in self.layers])
        copy.length = self.length
        return copy

    def clear(self) -> None:
        """Empty the cache and keep its buffers."""
        self.length = 0
        for layer in self.layers:
            layer.length = 0
