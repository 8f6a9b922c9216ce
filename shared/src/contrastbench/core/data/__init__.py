"""Data: the embedded scenes, the real datasets as sources, and their verification."""
