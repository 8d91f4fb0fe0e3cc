"""A program that trains a model for Andon: ridge regression on windows, with numpy, pyarrow and onnx.

It is started by a pipeline with

    model:
      task: remaining-life
      network: command
      command: {run: [python3, python/train_example.py], timeout: 10m}

trainer/exec/doc.go says what it finds in the folder that is its argument, and what it has to leave there. With PyTorch the same program would build a torch.nn.Module and call
torch.onnx.export(module, window, "model.onnx", input_names=["window"], output_names=["value", "risk"], dynamic_axes={"window": {0: "batch"}}).
"""

import json
import pathlib
import sys
import time

import numpy as np
import onnx
import pyarrow.parquet as pq
from onnx import TensorProto, helper, numpy_helper


def read(path):
    """Windows [n, length*channels], targets [n] and weights [n] of a Parquet file."""
    table = pq.read_table(path).combine_chunks()
    window = table.column("window").chunk(0).flatten().to_numpy(zero_copy_only=False)
    target = table.column("target").to_numpy()
    return window.reshape(len(target), -1).astype(np.float64), target.astype(np.float64), table.column("weight").to_numpy().astype(np.float64)


def fit(x, y, weight, decay):
    """Ridge regression: the coefficients, and the intercept as their last."""
    x = np.hstack([x, np.ones((len(x), 1))]) * np.sqrt(weight)[:, None]
    penalty = decay * np.eye(x.shape[1])
    penalty[-1, -1] = 0
    return np.linalg.solve(x.T @ x + penalty, x.T @ (y * np.sqrt(weight)))


def main(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    if manifest["task"] != "remaining-life":
        sys.exit("this example trains remaining-life only")
    x, y, weight = read(folder / "train.parquet")
    vx, vy, _ = read(folder / "val.parquet")
    decays = [0.1, 1.0, 10.0, 100.0]
    best = None
    for i, decay in enumerate(decays):
        began = time.perf_counter()
        beta = fit(x, y, weight, decay)
        loss, val = (float(np.mean((a @ beta[:-1] + beta[-1] - b) ** 2)) for a, b in ((x, y), (vx, vy)))
        print(json.dumps({"epoch": i + 1, "epochs": len(decays), "loss": loss, "val_loss": val, "rows_per_second": len(x) / (time.perf_counter() - began)}), flush=True)
        if best is None or val < best[0]:
            best = (val, decay, beta)
    loss, decay, beta = best

    # The risk that no more than horizon steps are left, from the spread of the errors: a logistic curve about as steep as their normal distribution.
    cap, horizon = manifest["cap"], manifest["horizon"]
    steep = 1.702 / max(np.sqrt(loss) * cap, 1e-3)
    constants = {"beta": beta[:-1, None], "base": beta[-1:], "cap": np.array([cap]), "steep": np.array([-steep]), "offset": np.array([steep * (horizon + 0.5)])}
    graph = helper.make_graph(
        [
            helper.make_node("Flatten", ["window"], ["flat"], axis=1),
            helper.make_node("Gemm", ["flat", "beta", "base"], ["share"]),
            helper.make_node("Mul", ["share", "cap"], ["steps"]),
            helper.make_node("Relu", ["steps"], ["value"]),
            helper.make_node("Mul", ["value", "steep"], ["slope"]),
            helper.make_node("Add", ["slope", "offset"], ["odds"]),
            helper.make_node("Sigmoid", ["odds"], ["risk"]),
        ],
        "ridge",
        [helper.make_tensor_value_info("window", TensorProto.FLOAT, ["batch", manifest["length"], len(manifest["channels"])])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 1]) for name in ("value", "risk")],
        [numpy_helper.from_array(v.astype(np.float32), k) for k, v in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="train_example")
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, folder / "model.onnx")
    (folder / "metrics.json").write_text(json.dumps({"network": "ridge", "metrics": {"decay": decay}}))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
