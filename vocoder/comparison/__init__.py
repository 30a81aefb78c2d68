"""Comparison of versions of a corpus by the vocoders that are trained on them."""
