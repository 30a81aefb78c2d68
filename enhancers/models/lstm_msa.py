"""LSTM with look-ahead, trained by magnitude signal approximation (MSA); baseline of paper [003]."""

from torch import Tensor, nn

from clean_corpus.enhancers.models.layers import Memory, expect


class LstmMsa(nn.Module):
    """Convolution over time and two LSTM layers, noisy magnitude to a mask, six frames late.

    Source: paper [003], section 3.2, LSTM; SYSTEMS.md section 5.3.
    Size: 9,183,657 parameters (asserted in tests), the paper's 9.6 M with 411,200 fixed STFT weights.
    Shapes: features (B, 1, T, n_freq) -> (B, 1, T, n_freq), 0 to 1.
    Raises: ValueError if the features have another shape.
    """

    lookahead = 6

    def __init__(self, *, n_freq: int = 257, units: int = 800) -> None:
        super().__init__()
        self.n_freq = n_freq
        self.conv = nn.Conv1d(n_freq, n_freq, self.lookahead + 1)
        self.lstm = nn.LSTM(n_freq, units, num_layers=2, batch_first=True)
        self.dense = nn.Linear(units, n_freq)

    def forward(self, features: Tensor, memory: Memory | None = None) -> Tensor:
        expect(features, channels=1, n_freq=self.n_freq)
        memory = memory or Memory()
        x = memory.past(features.squeeze(1), self.lookahead, 1)  # (B, T + 6, F)
        x = self.conv(x.transpose(1, 2)).transpose(1, 2)
        return self.dense(memory.recurrent(self.lstm, x)).sigmoid().unsqueeze(1)
