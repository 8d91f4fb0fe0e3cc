// Package exec has a program of somebody's own train a model: Python with PyTorch or scikit-learn, say. It gets a folder with what to learn from and puts a model there.
//
// The program is started with the folder's path as its last argument and as its working directory. It finds there
//
//	manifest.json   what is wanted, see Manifest
//	train.parquet   windows to learn from, val.parquet windows to choose by; never those that models are judged on afterwards
//
// Both files have the columns
//
//	window  fixed_size_list<float32>[length*channels]  row-major, scaled by the recipe's scale
//	target  float32  remaining-life: min(steps left, cap)/cap; anomaly: the window's newest value of channel 0
//	weight  float32  what the window counts beside others, around 1
//	asset   string
//	end     timestamp[us, UTC]  event time at which the window ends
//
// and writes
//
//	model.onnx      input "window", float32 [batch, length, channels], scaled as above; outputs "value" and "risk", float32 [batch, 1]. remaining-life: value in grid steps, risk the probability that
//	                it is at most horizon steps. anomaly: value from 0 up, risk between 0 and 1
//	metrics.json    {"network": "ridge", "metrics": {"any name": 1.5}}; may be left out
//
// What it says on standard output and error is kept in the file log. A line on standard output that is a JSON object with the keys epoch, epochs, loss, val_loss and rows_per_second is shown as
// progress. Exit code 0 means that the model is there. At the timeout, or when nobody wants the model any more, the program and all that it started get SIGTERM, and SIGKILL five seconds later.
//
// The model is checked as one that is pushed, and run on val.parquet's windows: what is refused is an error that says why. python/train_example.py is such a program.
package exec
