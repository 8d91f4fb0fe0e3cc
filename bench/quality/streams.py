"""Streams with drifts at known places, and River's learners and detectors on them; see streams.go.

Each line of standard input is a JSON object that asks for one thing:
  {"rows": CELL, "seed": N}                     the rows, as little-endian doubles: the features, then the class
  {"learner": STREAM, "count": N, "width": W}   N rows of W doubles follow; the errors of River's learner, a byte each
  {"detectors": [NAME, …], "count": N}          for each name N bytes of errors follow; where that detector finds drift: for each name the count and the places, 32-bit numbers
  {"version": true}                             River's version, a line
"""
import json
import random
import struct
import sys

import river
from river import drift, naive_bayes, tree
from river.datasets import synth
from river.drift import binary

DETECTORS = {
    "adwin": drift.ADWIN, "page-hinkley": drift.PageHinkley, "hddm-a": binary.HDDMA, "hddm-w": binary.HDDMW, "ddm": binary.DDM, "eddm": binary.EDDM, "fhddm": binary.FHDDM,
}
source, out = sys.stdin.buffer, sys.stdout.buffer


def rows(cell, seed):
    """Concepts in turns, each for a period. A drift is a step, or a ramp of a width, in which a row is of the new concept with growing probability."""
    draw = random.Random(seed)
    if cell["stream"] == "sea":
        concepts = [synth.SEA(variant=v, noise=0.1, seed=seed * 100 + v) for v in (0, 1, 2, 3)]
    else:
        concepts = [synth.Agrawal(classification_function=f, seed=seed * 100 + f) for f in (0, 3, 6)]
    feeds = [iter(c) for c in concepts]
    period, width = cell["period"], cell["width"]
    for i in range(period * (cell["drifts"] + 1)):
        at, into = divmod(i, period)
        if at > 0 and into < width and draw.random() >= into / width:
            at -= 1
        x, y = next(feeds[at % len(feeds)])
        yield [float(v) for v in x.values()] + [float(y)]


def answer(ask):
    if "rows" in ask:
        for row in rows(ask["rows"], ask["seed"]):
            out.write(struct.pack(f"<{len(row)}d", *row))
    elif "learner" in ask:
        model, width = naive_bayes.GaussianNB() if ask["learner"] == "sea" else tree.HoeffdingTreeClassifier(), ask["width"]
        wrong = bytearray()
        for _ in range(ask["count"]):
            row = struct.unpack(f"<{width}d", source.read(8 * width))
            x, y = dict(enumerate(row[:-1])), int(row[-1])
            wrong.append(0 if model.predict_one(x) == y else 1)
            model.learn_one(x, y)
        out.write(wrong)
    elif "detectors" in ask:
        for name in ask["detectors"]:
            detector, found = DETECTORS[name](), []
            for i, wrong in enumerate(source.read(ask["count"])):
                if name == "fhddm":  # it watches for fewer right ones
                    detector.update(not wrong)
                else:
                    detector.update(wrong if name in ("adwin", "page-hinkley") else bool(wrong))
                if detector.drift_detected:
                    found.append(i)
            out.write(struct.pack(f"<{len(found) + 1}I", len(found), *found))
    else:
        out.write(river.__version__.encode() + b"\n")
    out.flush()


for line in iter(source.readline, b""):
    answer(json.loads(line))
