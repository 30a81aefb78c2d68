"""Blind listening tests: a page that works offline, and the analysis of its answers."""
