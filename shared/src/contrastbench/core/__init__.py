"""The common core of contrastbench: losses, samplers, memory banks, ops, metrics, data and hosts."""
