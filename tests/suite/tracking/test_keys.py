"""Any name becomes a key that MLflow takes, different names different keys."""

from __future__ import annotations

from mlflow.utils.validation import _validate_metric_name, _validate_param_name

from suite.tracking.keys import LONGEST, metric_key, param_key

NAMES = [
    "faces", "cats & dogs", "cats :26: dogs", "cats _ dogs", "pets (oxford)", "a,b", "C++ code", "C-- code", ".", "..", ":2e:", "a/b", "a//b",
    "/etc", "", " ", "a\nb", "a%b", "Ä", "\u00e9", "e\u0301", "漢" * 80, "漢" * 81, "x" * 249, "x" * 250, "x" * 251, "x" * 300, "&" * 100,
]  # fmt: skip


def test_keys_are_taken_and_one_to_one() -> None:
    metrics = {metric_key("test", name) for name in NAMES}
    params = {param_key("benchmark", "metrics", name) for name in NAMES}
    assert len(metrics) == len(params) == len(NAMES)
    for key in metrics - {"test/"}:  # no task is without a name
        _validate_metric_name(key)
    for key in params:
        _validate_param_name(key)
    assert max(len(key.encode()) for key in metrics | params) <= LONGEST


def test_plain_names_stay() -> None:
    assert metric_key("test", "stanford_cars 2.0-b") == "test/stanford_cars 2.0-b"
    assert param_key("method", "rank") == "method.rank"
    assert metric_key("test", "cats & dogs") == "test/cats :26: dogs"
