"""Sizes with which each row of the table of systems is small enough for a test."""

_CRN = {"channels": (4, 4, 4, 4, 8)}
_MASKER = {**_CRN, "units": 8}
_DECODERS = {"hidden": (8,), "speech_hidden": (8,), "noise_hidden": (8,), "code": 4}
_LEAN = {"narrow": 4, "channels": 6, "blocks": 2, "across": 2, "along": 4}
_LAYERS = {"units": 8, "layers": 2}
_UNITS = {"units": 8}
_STEPWISE = {**_MASKER, **_DECODERS}
_DCCRN = {"channels": (4, 4, 4, 8, 8, 8), "units": 8}
_SEGAN = {"channels": (2, 2, 4), "kernel_size": 5}

SMALL = {
    **dict.fromkeys(("cgcrn", "cgcrn-no-skips", "cgcrn-add-skips", "cgcrn-cat-skips", "cgcrn-p1", "cgcrn-p4"), _CRN),
    **dict.fromkeys(("cgcrn-crm", "cgcrn-complex", "cgcrn-refined", "crn"), _CRN),
    "cgcrn-dual-path": {"channels": (2,), "blocks": 1, "across": 2, "along": 2},
    **dict.fromkeys(("lean", "lean-causal"), _LEAN),
    **dict.fromkeys(("lstm-4x1024", "gru-4x1024"), _LAYERS),
    "cnn-gru": {"channels": 4, "squeezed_channels": 2, "units": 8},
    "fcnn": {"filters": (2,) * 9},
    **dict.fromkeys(("pl-crnn-q2", "pl-crnn-q4", "pl-crnn-q5", "pl-crnn-q5-iam"), _CRN),
    **dict.fromkeys(("pl-crnn", "pl-crnn-iam", "crnn", "crnn-iam", "scrnn", "scrnn-iam"), _CRN),
    **dict.fromkeys(("pl-dnn", "pl-dnn-iam", "pl-lstm", "pl-lstm-iam"), _UNITS),
    **dict.fromkeys(("crn-dnn-dec", "crn-dnn-dec-sep", "crn-dnn-dec-jnt3", "crn-dnn-dec-jnt4-1"), _STEPWISE),
    **dict.fromkeys(("crn-cpsirm", "crn-irm", "crn-mag"), _MASKER),
    "dnn-dec": _DECODERS,
    "dnn-irm-dnn-nmf": {"hidden": (8,), "n_bases": 4},
    "dnn-irm": {"hidden": (8,)},
    "lstm-irm": {"units": 8, "hidden": 8},
    "mhanet-irm": {"d_model": 8, "layers": 1, "feedforward": 8},
    **dict.fromkeys(("dccrn-r", "dccrn-c", "dccrn-e", "dccrn-e-printed", "dccrn-cl", "complex-crn"), _DCCRN),
    "dcunet-16": {"channels": (4,) * 8},
    "lstm-9.6m": _UNITS,
    "nsnet": {"layers": 1},
    **dict.fromkeys(("wgan-glu", "wgan-prelu", "segan"), _SEGAN),
}
