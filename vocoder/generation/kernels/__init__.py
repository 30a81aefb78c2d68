"""Compiled sample loops: all layers of one sample in one call."""
