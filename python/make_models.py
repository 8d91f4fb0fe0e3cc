#!/usr/bin/env python3
"""Makes the ONNX files that Go's tests push: as PyTorch and scikit-learn users export them, with what Python's ONNX Runtime says of some windows.

    python3 -m venv venv && venv/bin/pip install -r python/requirements.txt
    venv/bin/python python/make_models.py model/adopt/testdata

Each model gets NAME.onnx and NAME.json: {"length", "signals", "windows" [n][length][signals], "value" [n], "risk" [n]}. The windows are raw values of two
signals, pressure and flow, of a made-up pump whose pressure falls before it fails. Everything is seeded; the files are a few kilobytes.
"""
import json
import pathlib
import shutil
import sys

import mlflow.onnx
import numpy as np
import onnx
import onnxruntime
import torch
from mlflow.models import infer_signature
from skl2onnx import to_onnx
from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType
from sklearn.ensemble import GradientBoostingClassifier, IsolationForest
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

LENGTH, SIGNALS = 6, ["pressure", "flow"]
MEAN, STD = np.array([5.0, 40.0]), np.array([0.5, 4.0])


def pumps(n, seed):
    """Returns windows [n, LENGTH, 2] and the remaining life in steps [n]."""
    rng = np.random.default_rng(seed)
    life = rng.uniform(0, 60, n)
    steps = np.arange(LENGTH)[None, :] - LENGTH + 1
    left = np.maximum(life[:, None] - steps, 0)
    pressure = 5.5 - 1.5 * np.exp(-left / 15) + rng.normal(0, 0.05, left.shape)
    flow = 42 - 8 * np.exp(-left / 25) + rng.normal(0, 0.5, left.shape)
    return np.stack([pressure, flow], axis=2).astype(np.float32), life.astype(np.float32)


def run(path, feeds):
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, feeds)


def sigmoid(x):
    return 1 / (1 + np.exp(-np.asarray(x, np.float64)))


def keep(out, name, windows, value, risk):
    flat = lambda x: [float(v) for v in np.asarray(x, np.float64).reshape(-1)]
    text = {"length": LENGTH, "signals": SIGNALS, "windows": np.round(windows.astype(np.float64), 6).tolist(), "value": flat(value), "risk": flat(risk)}
    (out / f"{name}.json").write_text(json.dumps(text) + "\n")


class Torch(torch.nn.Module):
    """A convolution over time and a GRU; inputs are scaled outside, remaining life comes out in units of 60 steps."""

    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv1d(2, 8, 3, padding=1)
        self.gru = torch.nn.GRU(8, 8, batch_first=True)
        self.head = torch.nn.Linear(8, 1)

    def forward(self, x):  # [batch, channels, time]
        y, _ = self.gru(torch.relu(self.conv(x)).transpose(1, 2))
        return self.head(y[:, -1])


def make_torch(out, dynamo):
    torch.manual_seed(1)
    windows, life = pumps(2000, 1)
    x = torch.tensor(((windows - MEAN) / STD).astype(np.float32)).transpose(1, 2).contiguous()
    y = torch.tensor(life[:, None] / 60)
    net = Torch()
    step = torch.optim.Adam(net.parameters(), 0.01)
    for _ in range(200):
        step.zero_grad()
        loss = torch.nn.functional.mse_loss(net(x), y)
        loss.backward()
        step.step()
    net.eval()
    name = "torch_dynamo" if dynamo else "torch_script"
    path = str(out / f"{name}.onnx")
    if dynamo:
        torch.onnx.export(net, (x[:2],), path, dynamo=True, external_data=False, input_names=["readings"], output_names=["life"],
                          dynamic_shapes=({0: torch.export.Dim("batch")},))
    else:
        torch.onnx.export(net, (x[:2],), path, dynamo=False, opset_version=17, input_names=["readings"], output_names=["life"],
                          dynamic_axes={"readings": {0: "batch"}, "life": {0: "batch"}})
        # As the exporter does unless it is told otherwise: the numbers lie in a second file.
        torch.onnx.export(net, (x[:2],), str(out / "torch_external.onnx"), dynamo=True, external_data=True, input_names=["readings"],
                          output_names=["life"], dynamic_shapes=({0: torch.export.Dim("batch")},))
    check, _ = pumps(8, 2)
    check = np.round(check, 6)
    scaled = ((check.astype(np.float32) - MEAN.astype(np.float32)) / STD.astype(np.float32)).transpose(0, 2, 1)
    got = run(path, {"readings": np.ascontiguousarray(scaled)})[0].reshape(-1)
    value = got * 60
    keep(out, name, check, value, sigmoid(-4 / 15 * (value - 15)))


def make_classifier(out):
    """Probabilities of two classes from the flattened window, as float32."""
    windows, life = pumps(2000, 1)
    flat = windows.reshape(len(windows), -1)
    fitted = make_pipeline(StandardScaler(), GradientBoostingClassifier(n_estimators=8, max_depth=3, random_state=1)).fit(flat, life < 15)
    file = to_onnx(fitted, initial_types=[("X", FloatTensorType([None, flat.shape[1]]))], options={"zipmap": False}, target_opset={"": 17, "ai.onnx.ml": 3})
    path = str(out / "sklearn_classifier.onnx")
    onnx.save(file, path)
    check = np.round(pumps(8, 2)[0], 6)
    got = run(path, {"X": check.reshape(8, -1)})[1][:, 1]
    keep(out, "sklearn_classifier", check, got, got)


def make_regression(out):
    """Remaining life from the newest row alone, as float64, the signals in the other order."""
    windows, life = pumps(2000, 1)
    newest = windows[:, -1, ::-1].astype(np.float64)
    fitted = make_pipeline(StandardScaler(), LinearRegression()).fit(newest, life)
    file = to_onnx(fitted, initial_types=[("X", DoubleTensorType([None, 2]))], target_opset={"": 17, "ai.onnx.ml": 3})
    path = str(out / "sklearn_regression.onnx")
    onnx.save(file, path)
    check = np.round(pumps(8, 2)[0], 6)
    got = run(path, {"X": check[:, -1, ::-1].astype(np.float64)})[0].reshape(-1)
    keep(out, "sklearn_regression", check, got, sigmoid(-4 / 15 * (got - 15)))


def make_forest(out):
    """An isolation forest over one input a signal, as a column transformer's users export it; lower scores are stranger."""
    windows, _ = pumps(500, 1)
    newest = windows[:, -1]
    fitted = IsolationForest(n_estimators=5, max_samples=32, random_state=1).fit(newest)
    file = to_onnx(fitted, initial_types=[("X", FloatTensorType([None, 2]))], target_opset={"": 17, "ai.onnx.ml": 3})
    split = onnx.helper.make_node("Concat", ["pressure", "flow"], ["X"], axis=1)
    file.graph.node.insert(0, split)
    del file.graph.input[:]
    for s in SIGNALS:
        file.graph.input.append(onnx.helper.make_tensor_value_info(s, onnx.TensorProto.FLOAT, [None, 1]))
    onnx.checker.check_model(file)
    path = str(out / "sklearn_forest.onnx")
    onnx.save(file, path)
    check = np.round(pumps(8, 2)[0], 6)
    got = run(path, {s: check[:, -1, i:i + 1] for i, s in enumerate(SIGNALS)})[1].reshape(-1)
    keep(out, "sklearn_forest", check, got, sigmoid(-20 * got))


def make_mlflow(out):
    """The classifier as MLflow saves it, with what we need to know in the model's metadata."""
    shutil.rmtree(out / "mlflow", ignore_errors=True)
    windows = pumps(2, 2)[0].reshape(2, -1)
    signature = infer_signature(windows, {"label": np.zeros(2, np.int64), "probabilities": np.zeros((2, 2), np.float32)})
    ours = {"name": "pump-classifier", "task": "score", "risk": {"tensor": "probabilities", "column": 1}}
    mlflow.onnx.save_model(onnx.load(str(out / "sklearn_classifier.onnx")), str(out / "mlflow"), signature=signature, metadata={"andon": ours})
    for name in ["conda.yaml", "python_env.yaml", "requirements.txt"]:
        (out / "mlflow" / name).unlink()


def main():
    out = pathlib.Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    make_torch(out, dynamo=False)
    make_torch(out, dynamo=True)
    make_classifier(out)
    make_regression(out)
    make_forest(out)
    make_mlflow(out)


if __name__ == "__main__":
    main()
