"""Attacks on a classifier of pixels: one file an attack, one registry, one protocol."""
