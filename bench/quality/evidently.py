"""CPU time of Evidently's report of data drift on normal columns; see report.go."""
import json
import time

import evidently
import numpy as np
import pandas as pd
from evidently import DataDefinition, Dataset, Report
from evidently.presets import DataDriftPreset

runs = []
for features, rows in ((10, 2_000), (20, 20_000), (40, 20_000), (20, 100_000)):  # the first warms up
    rng = np.random.default_rng(1)
    tables = [pd.DataFrame({f"f{j}": rng.normal(size=rows) for j in range(features)}) for _ in range(2)]
    begun = time.process_time()
    current, reference = (Dataset.from_pandas(t, data_definition=DataDefinition(numerical_columns=list(t.columns))) for t in tables)
    Report([DataDriftPreset()]).run(current, reference).dict()
    runs.append({"features": features, "rows": rows, "cpu": time.process_time() - begun})
print(json.dumps({"version": evidently.__version__, "runs": runs[1:]}))
