"""The books of ``make soak``: what it counts, and against what."""
