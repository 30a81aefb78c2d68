"""Noisy voice recordings to a corpus that a speech-synthesis voice can be trained on."""

from clean_corpus.pipeline.core.telemetry import switch_off

switch_off()
