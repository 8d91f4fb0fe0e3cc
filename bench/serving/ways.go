package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"andon/scorer/oip/pb"
)

// way is one form of request that both servers take. send is one client: n requests over one connection, each answer checked.
type way struct {
	name string
	send func(ctx context.Context, s *server, n, windows int) error
}

var ways = []way{{"REST, JSON", sendJSON}, {"gRPC, raw contents", sendRaw}}

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
	c := &http.Client{Transport: &http.Transport{DisableCompression: true}}
	defer c.CloseIdleConnections()
	for range n {
		r, err := http.NewRequestWithContext(ctx, "POST", "http://"+s.rest+"/v2/models/"+s.model+"/infer", bytes.NewReader(body))
		if err != nil {
			return err
		}
		r.Header.Set("Content-Type", "application/json")
		res, err := c.Do(r)
		if err != nil {
			return err
		}
		b, err := io.ReadAll(res.Body)
		res.Body.Close()
		var a struct{ Outputs []struct{ Data []float32 } }
		if err == nil {
			err = json.Unmarshal(b, &a)
		}
		if err != nil || res.StatusCode != 200 || len(a.Outputs) != 2 || len(a.Outputs[0].Data) != windows {
			return fmt.Errorf("%d %s: %v", res.StatusCode, b, err)
		}
	}
	return nil
}

func sendRaw(ctx context.Context, s *server, n, windows int) error {
	conn, err := grpc.NewClient(s.rpc, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close()
	v := values(windows)
	raw := make([]byte, 0, 4*len(v))
	for _, x := range v {
		b := math.Float32bits(x)
		raw = append(raw, byte(b), byte(b>>8), byte(b>>16), byte(b>>24))
	}
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
