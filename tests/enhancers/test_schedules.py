"""Schedules of step-wise training: the steps of the paper."""

from clean_corpus.enhancers.table import ENHANCERS


def test_the_mappings_have_the_steps_of_the_paper():
    steps = {name: [(s.name, s.parts) for s in row.schedule] for name, row in ENHANCERS.items() if row.before}
    first = [("autoencoders", ("speech_dae", "noise_dae")), ("masks", ("masker",)), ("signals", ("masker",))]
    codes = ("masker", "enhancer")
    whole = ("final", ("masker", "enhancer", "speech_dae.decoder", "noise_dae.decoder"))
    assert steps["crn-dnn-dec-sep"] == [*first, ("final", codes)]
    assert steps["crn-dnn-dec-jnt3"] == [*first, whole]
    assert steps["crn-dnn-dec-jnt4-1"] == [*first, ("codes", codes), whole]
    assert steps["crn-dnn-dec"] == [*first, ("codes", ("enhancer",)), whole]
