package ort

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	onnx "github.com/yalue/onnxruntime_go"
)

// Provider is where a model runs.
type Provider string

// The providers; the zero value of Provider means CPU.
const (
	CPU  Provider = "cpu"
	CUDA Provider = "cuda"
)

// appendProvider adds what Options ask for.
func appendProvider(so *onnx.SessionOptions, o *Options) error {
	switch {
	case o.Provider == CPU:
		return nil
	case o.Provider != CUDA:
		return fmt.Errorf("provider %q is not known", string(o.Provider))
	case o.provide != nil:
		return o.provide(so, o)
	}
	return appendCUDA(so, o)
}

// appendCUDA adds the CUDA provider. Each step can be the first to notice that CUDA cannot work here: a library without it at the first, missing CUDA
// libraries at the second, a missing driver only when the session is made or runs.
func appendCUDA(so *onnx.SessionOptions, o *Options) error {
	cuda, err := onnx.NewCUDAProviderOptions()
	if err != nil {
		return fmt.Errorf("use CUDA: this build of ONNX Runtime has no CUDA, make deps-gpu fetches the one that has: %w", cause(err))
	}
	defer cuda.Destroy()
	settings := map[string]string{"device_id": strconv.Itoa(o.Device)}
	if o.DeviceMemory > 0 {
		settings["gpu_mem_limit"] = strconv.FormatInt(o.DeviceMemory, 10)
	}
	if err := cuda.Update(settings); err != nil {
		return fmt.Errorf("use CUDA device %d: %w", o.Device, cause(err))
	}
	if err := so.AppendExecutionProviderCUDA(cuda); err != nil {
		return fmt.Errorf("use CUDA device %d: %w", o.Device, cause(err))
	}
	return nil
}

// missing says what to do about an error, and adds what may have caused it: libraries of CUDA that are there and could not be loaded.
func missing(err error) error {
	for part, advice := range map[string]string{
		"libonnxruntime_providers_shared.so: cannot open": "this build of ONNX Runtime has no CUDA, make deps-gpu fetches the one that has",
		"libonnxruntime_providers_cuda.so: cannot open":   "this build of ONNX Runtime has no CUDA, make deps-gpu fetches the one that has",
		"libcuda.so.1: cannot open":                       "the NVIDIA driver is not installed",
		"CUDA failure 35":                                 "the NVIDIA driver is older than CUDA 13 needs: install version 580 or newer",
		"CUDA failure 100":                                "the NVIDIA driver finds no device",
		"CUDA failure 101":                                "there is no device of that number: andon doctor and nvidia-smi list them",
	} {
		if strings.Contains(err.Error(), part) {
			err = fmt.Errorf("%s (%w)", advice, err)
			break
		}
	}
	library.Lock()
	defer library.Unlock()
	return errors.Join(err, library.cuda)
}
