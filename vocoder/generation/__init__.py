"""Generation of speech sample by sample, on CPUs and GPUs."""
