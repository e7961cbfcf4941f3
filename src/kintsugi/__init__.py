"""Kintsugi turns AI failures into stronger systems."""

__version__ = "0.1.0"
