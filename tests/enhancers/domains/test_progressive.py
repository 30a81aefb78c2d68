"""Progressive learning: what a stage gives out."""

import pytest
import torch

from clean_corpus.enhancers.domains.progressive import StageOutput


def test_stage_outputs_know_their_answers():
    x, noisy = torch.tensor([0.0, 100.0, -100.0]), torch.tensor([4.0, 4.0, 4.0])
    assert StageOutput("iam")(x, noisy).tolist() == pytest.approx([2.0, 4.0, 0.0])
    assert StageOutput("tms")(x, noisy).tolist() == pytest.approx([0.6931472, 100.0, 0.0])
