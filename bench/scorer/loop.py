"""A bare loop over ONNX Runtime, told on standard input by lines of JSON what to do; an answer is a line of JSON.

{"do": "load", "name", "file", "windows", "shape": [n, length, width]}   answers {"version"}
{"do": "turn", "name", "batch", "runs"}                                  answers {"cpu": ns, "times": [ns of each run]}
{"do": "score", "name"}                                                  answers {"value": [n], "risk": [n]}
"""

import json
import sys
import time

import numpy as np
import onnxruntime as ort

ort.set_default_logger_severity(3)  # errors; a warning of the graph says nothing here


class Loop:
    def __init__(self, file, windows, shape):
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        self.windows = np.fromfile(windows, dtype=np.float32).reshape(shape)
        self.bound = {}

    def bind(self, batch):
        """Inputs and outputs for one size of batch, kept between runs as the other loops keep theirs."""
        if batch not in self.bound:
            io, x = self.session.io_binding(), np.ascontiguousarray(self.windows[:batch])
            io.bind_ortvalue_input("window", ort.OrtValue.ortvalue_from_numpy(x))
            for name in ("value", "risk"):
                io.bind_ortvalue_output(name, ort.OrtValue.ortvalue_from_shape_and_type([batch, 1], np.float32))
            self.bound[batch] = io
        return self.bound[batch]

    def turn(self, batch, runs):
        io, run, times = self.bind(batch), self.session.run_with_iobinding, []
        cpu, last = time.process_time_ns(), time.perf_counter_ns()
        for _ in range(runs):
            run(io)
            now = time.perf_counter_ns()
            times.append(now - last)
            last = now
        return {"cpu": time.process_time_ns() - cpu, "times": times}

    def score(self):
        value, risk = self.session.run(["value", "risk"], {"window": self.windows})
        return {"value": [float(v) for v in value.reshape(-1)], "risk": [float(v) for v in risk.reshape(-1)]}


loops = {}
for line in sys.stdin:
    q = json.loads(line)
    if q["do"] == "load":
        loops[q["name"]] = Loop(q["file"], q["windows"], q["shape"])
        answer = {"version": ort.__version__}
    elif q["do"] == "turn":
        answer = loops[q["name"]].turn(q["batch"], q["runs"])
    else:
        answer = loops[q["name"]].score()
    print(json.dumps(answer), flush=True)
