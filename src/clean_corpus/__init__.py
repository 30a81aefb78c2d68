"""Noisy voice recordings to a corpus that a speech-synthesis voice can be trained on."""
