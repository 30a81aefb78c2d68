"""Training of a vocoder on the shards of a corpus."""
