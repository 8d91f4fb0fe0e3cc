"""NannyML's CBPE on rows of standard input; see cbpe.go. The first line is a JSON object with the number of reference rows and the size of a chunk; then a row a line: score, answer, truth. Prints a JSON object."""
import json
import sys

import nannyml
import pandas

ask = json.loads(sys.stdin.readline())
rows = [line.split() for line in sys.stdin]
frame = pandas.DataFrame({"score": [float(r[0]) for r in rows], "said": [int(r[1]) for r in rows], "truth": [int(r[2]) for r in rows]})
reference, later = frame[: ask["reference"]].reset_index(drop=True), frame[ask["reference"]:].reset_index(drop=True)
metrics = ["accuracy", "f1", "roc_auc"]
estimator = nannyml.CBPE(problem_type="classification_binary", y_pred_proba="score", y_pred="said", y_true="truth", metrics=metrics, chunk_size=ask["chunk"])
estimator.fit(reference)
result = estimator.estimate(later).filter(period="analysis").to_df()
json.dump({"version": nannyml.__version__, "estimates": {m: [float(v) for v in result[(m, "value")]] for m in metrics}}, sys.stdout)
