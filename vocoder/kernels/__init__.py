"""Compiled loops of generation."""
