"""PL-CRNN: progressive learning with small CRNs in a chain and one shared LSTM, paper [001]."""

import torch
from torch import Tensor, nn

from clean_corpus.enhancers.domains.progressive import MagnitudeTarget, StageOutput, improvements_db
from clean_corpus.enhancers.models.crn import Decoder, Encoder
from clean_corpus.enhancers.models.layers import Memory, expect, flatten_bins, halved, unflatten_bins


class PLCRNN(nn.Module):
    """Progressive convolutional recurrent network: small CRNs in a chain, each of which raises the SNR.

    Every stage sees the noisy magnitude and all earlier estimates as channels. All stages share the weights of one
    LSTM, but each has its own state.

    Source: paper [001], section 3.3 and table 1; SYSTEMS.md sections 3.1 and 3.4. Stages (Q): 3 and 5 with both targets
    in tables 3, 4 and 6, 2 to 5 with `tms` in figure 4.
    Size: 1,221,731 parameters (asserted in tests); 2 stages 1,165,282, 4 stages 1,278,276, 5 stages 1,334,917.
    Shapes: features (B, 1, T, n_freq) -> magnitude estimates (B, stages, T, n_freq), >= 0, the last the cleanest.
    Raises: ValueError if the features have other channels or bins, stages are not 1 to 5, or the target is neither.
    """

    def __init__(
        self,
        *,
        n_freq: int = 161,
        channels: tuple[int, ...] = (16, 16, 16, 32, 64),
        stages: int = 3,
        target: MagnitudeTarget = "tms",
    ) -> None:
        super().__init__()
        improvements_db(stages)
        self.n_freq = n_freq
        sizes = halved(n_freq, len(channels))
        flat = channels[-1] * sizes[-1]
        self.encoders = nn.ModuleList(Encoder(1 + before, channels) for before in range(stages))
        self.lstm = nn.LSTM(flat, flat, num_layers=2, batch_first=True)
        self.decoders = nn.ModuleList(Decoder(channels, sizes, last_norm=False) for _ in range(stages))
        self.output = StageOutput(target)

    def forward(self, features: Tensor, memory: Memory | None = None) -> Tensor:
        expect(features, channels=1, n_freq=self.n_freq)
        memory = memory or Memory()
        seen = features  # (B, 1 + stages done, T, F)
        for encoder, decoder in zip(self.encoders, self.decoders, strict=True):
            encoded = encoder(seen, memory)
            x = memory.recurrent(self.lstm, flatten_bins(encoded[-1]))
            x = unflatten_bins(x, encoded[-1].shape[1])
            estimate = self.output(decoder(x, encoded, memory), features)
            seen = torch.cat((seen, estimate), 1)
        return seen[:, 1:]
