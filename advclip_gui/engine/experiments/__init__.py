"""Experiments: the same recipe over shots, seeds and methods, ending in one table and one plot."""
