"""A WaveNet vocoder that turns log-mel frames into speech, and the comparison of corpora by the speech it learns."""
