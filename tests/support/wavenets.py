"""WaveNets small enough for tests."""

import torch

from clean_corpus.vocoder.checkpoint import Vocoder, save_vocoder
from clean_corpus.vocoder.wavenet import WaveNet

SMALL = {"layers": 6, "stacks": 2, "residual_channels": 16, "gate_channels": 32, "skip_channels": 24,
         "conditioning_channels": 20, "upsampling": (4, 2)}  # fmt: skip


def small_wavenet(output="mu-law", **sizes):
    """A network of two stacks with random weights, always the same."""
    torch.manual_seed(0)
    network = WaveNet(**(SMALL | {"output": output} | sizes)).eval()
    if network.source is not None:
        torch.nn.init.normal_(network.source.output.weight, std=0.1)
    return network


def save_small_vocoder(folder, mel, *, upsampling, speakers=()):
    """Write FOLDER/best.safetensors with its card, as a training leaves them; random weights."""
    sizes = SMALL | {"upsampling": upsampling}
    network = small_wavenet(speakers=len(speakers), **sizes)
    card = {"sizes": sizes, "speaker_conditioning": bool(speakers)}
    save_vocoder(folder / "best.safetensors", Vocoder(network, mel, tuple(speakers), card))
    return folder
