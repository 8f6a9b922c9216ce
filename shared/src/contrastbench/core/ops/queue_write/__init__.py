"""The pixel queue's write: keys into the rings of their classes."""

from contrastbench.core.ops.queue_write.api import queue_write

__all__ = ["queue_write"]
