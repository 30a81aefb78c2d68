"""A WaveNet vocoder: log-mel frames to speech, and what it says about the audio it was trained on."""
