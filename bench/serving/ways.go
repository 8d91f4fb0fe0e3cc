package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"andon/scorer/oip/pb"
)

// way is one form of request. send is one client: n requests over one connection, each answer checked.
type way struct {
	name string
	send func(ctx context.Context, s *server, n, windows int) error
	// mayRefuse is set where the other server may not know this form; then only ours is measured.
	mayRefuse bool
}

var ways = []way{{"REST, JSON", sendJSON, false}, {"REST, binary tensors", sendBinary, true}, {"gRPC, raw contents", sendRaw, false}}

// values are windows as a float32 would be read from a sensor.
func values(windows int) []float32 {
	v := make([]float32, windows*length*width)
	for i := range v {
		v[i] = float32(math.Sin(float64(i)))
	}
	return v
}

func sendJSON(ctx context.Context, s *server, n, windows int) error {
	numbers, err := json.Marshal(values(windows))
	if err != nil {
		return err
	}
	body := fmt.Appendf(nil, `{"inputs":[{"name":"window","datatype":"FP32","shape":[%d,%d,%d],"data":%s}]}`, windows, length, width, numbers)
	return post(ctx, s, n, body, 0, func(b []byte, _ http.Header) bool {
		var a struct{ Outputs []struct{ Data []float32 } }
		return json.Unmarshal(b, &a) == nil && len(a.Outputs) == 2 && len(a.Outputs[0].Data) == windows
	})
}

// headerLength is the header of the binary tensor extension: how much of the body is JSON.
const headerLength = "Inference-Header-Content-Length"

func sendBinary(ctx context.Context, s *server, n, windows int) error {
	raw := rawOf(values(windows))
	body := fmt.Appendf(nil, `{"inputs":[{"name":"window","datatype":"FP32","shape":[%d,%d,%d],"parameters":{"binary_data_size":%d}}],"parameters":{"binary_data_output":true}}`,
		windows, length, width, len(raw))
	js := len(body)
	return post(ctx, s, n, append(body, raw...), js, func(b []byte, h http.Header) bool {
		js, err := strconv.Atoi(h.Get(headerLength))
		return err == nil && len(b)-js == 2*4*windows
	})
}

// post sends a body n times; js is the length of its JSON where binary tensors follow, else 0. right looks at an answer.
func post(ctx context.Context, s *server, n int, body []byte, js int, right func([]byte, http.Header) bool) error {
	c := &http.Client{Transport: &http.Transport{DisableCompression: true}}
	defer c.CloseIdleConnections()
	for range n {
		r, err := http.NewRequestWithContext(ctx, "POST", "http://"+s.rest+"/v2/models/"+s.model+"/infer", bytes.NewReader(body))
		if err != nil {
			return err
		}
		r.Header.Set("Content-Type", "application/json")
		if js > 0 {
			r.Header.Set("Content-Type", "application/octet-stream")
			r.Header.Set(headerLength, strconv.Itoa(js))
		}
		res, err := c.Do(r)
		if err != nil {
			return err
		}
		b, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.StatusCode != 200 || !right(b, res.Header) {
			return fmt.Errorf("%d %.200q: %v", res.StatusCode, b, err)
		}
	}
	return nil
}

// rawOf returns numbers little-endian.
func rawOf(v []float32) []byte {
	raw := make([]byte, 0, 4*len(v))
	for _, x := range v {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(x))
	}
	return raw
}

func sendRaw(ctx context.Context, s *server, n, windows int) error {
	conn, err := grpc.NewClient(s.rpc, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close()
	raw := rawOf(values(windows))
	q := &pb.ModelInferRequest{ModelName: s.model, RawInputContents: [][]byte{raw},
		Inputs: []*pb.ModelInferRequest_InferInputTensor{{Name: "window", Datatype: "FP32", Shape: []int64{int64(windows), length, width}}}}
	for range n {
		a := &pb.ModelInferResponse{}
		if err := conn.Invoke(ctx, "/inference.GRPCInferenceService/ModelInfer", q, a); err != nil {
			return err
		}
		if len(a.Outputs) != 2 || a.Outputs[0].Shape[0] != int64(windows) {
			return fmt.Errorf("answer %v", a)
		}
	}
	return nil
}
