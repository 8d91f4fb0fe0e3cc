package fit

import (
	"fmt"
	"slices"

	"andon/model/onnx"
)

// Start returns the parameters of a scoring model that this package wrote, to go on from: its constants begin with them, in the order and of the shapes of the network. A file of another network, or
// of somebody else, is an error.
func (n Network) Start(file []byte) ([]float32, error) { return startOf(n, file) }

// Start is Network.Start of an autoencoder.
func (n Autoencoder) Start(file []byte) ([]float32, error) { return startOf(n, file) }

// Start is Network.Start of a classifier. How its pixels are scaled and what its classes are belongs to the parameters, and is the caller's to know.
func (n Classifier) Start(file []byte) ([]float32, error) { return startOf(n, file) }

// Start is Network.Start of a detector, whose typical size belongs to the parameters, too.
func (n Detector) Start(file []byte) ([]float32, error) { return startOf(n, file) }

func startOf(n network, file []byte) ([]float32, error) {
	all, err := onnx.Constants(file)
	if err != nil {
		return nil, err
	}
	shapes := n.shapes()
	if len(all) < len(shapes) {
		return nil, fmt.Errorf("the file has %d constants, the network %d parameters", len(all), len(shapes))
	}
	var out []float32
	for i, s := range shapes {
		if !slices.Equal(all[i].Dims, s) {
			return nil, fmt.Errorf("parameter %d is %v in the file and %v in the network", i, all[i].Dims, s)
		}
		out = append(out, all[i].Values...)
	}
	return out, nil
}
