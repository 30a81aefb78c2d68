"""LSTM-IRM: LSTM layers to a ratio mask, baseline of paper [002]."""

from torch import Tensor, nn
from torch.nn import functional

from clean_corpus.enhancers.models.layers import Memory, expect


class LSTMIRM(nn.Module):
    """Two LSTM and two linear layers, noisy magnitude to the ratio mask of speech.

    Source: paper [002], section IV-A; SYSTEMS.md sections 4.4 and 4.5 (LeakyReLU on the outputs of standard LSTMs).
    Size: 119,863,553 parameters; units = 425, as in its source: 3,310,849 (asserted in tests).
    Shapes: noisy_mag (B, 1, T, n_freq) -> (B, 1, T, n_freq), in [0, 1].
    Raises: ValueError if noisy_mag has other channels or bins.
    """

    def __init__(self, *, n_freq: int = 257, units: int = 3072, hidden: int = 1024) -> None:
        super().__init__()
        self.n_freq = n_freq
        self.lstms = nn.ModuleList(nn.LSTM(fan_in, units, batch_first=True) for fan_in in (n_freq, units))
        self.hidden = nn.Linear(units, hidden)
        self.mask = nn.Linear(hidden, n_freq)

    def forward(self, noisy_mag: Tensor, memory: Memory | None = None) -> Tensor:
        expect(noisy_mag, channels=1, n_freq=self.n_freq)
        memory = memory or Memory()
        x = noisy_mag.squeeze(1)  # (B, T, F)
        for lstm in self.lstms:
            x = functional.leaky_relu(memory.recurrent(lstm, x), 0.1)
        return self.mask(functional.leaky_relu(self.hidden(x), 0.1)).sigmoid().unsqueeze(1)
