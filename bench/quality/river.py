"""CPU nanoseconds an update of River's drift detectors, and where they find drift, on the numbers of standard input: one a line. Prints one JSON object."""
import json
import sys
import time

import river
from river import drift
from river.drift import binary

numbers = [float(line) for line in sys.stdin]
detectors = {
    "adwin": drift.ADWIN, "page-hinkley": drift.PageHinkley, "ddm": binary.DDM, "eddm": binary.EDDM, "hddm-a": binary.HDDMA, "hddm-w": binary.HDDMW,
    "fhddm": binary.FHDDM, "kswin": lambda: drift.KSWIN(seed=1),
}
result = {"version": river.__version__, "nanoseconds": {}, "found": {}}
for name, make in detectors.items():
    values = numbers if name in ("adwin", "page-hinkley", "kswin") else [int(v) for v in numbers]
    if name == "kswin":
        values = values[: len(values) // 50]
    detector, found = make(), []
    begun = time.process_time()
    for i, v in enumerate(values):
        detector.update(v)
        if detector.drift_detected:
            found.append(i)
    result["nanoseconds"][name] = (time.process_time() - begun) / len(values) * 1e9
    result["found"][name] = found
json.dump(result, sys.stdout)
