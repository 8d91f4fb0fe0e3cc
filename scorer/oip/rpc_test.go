package oip

import (
	"context"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"andon/event"
	"andon/model"
	"andon/scorer/oip/pb"
)

const service = "/inference.GRPCInferenceService/"

// call invokes a method; its error must be one of gRPC's.
func (h *house) call(t testing.TB, method string, in, out proto.Message) {
	t.Helper()
	if err := h.conn.Invoke(t.Context(), service+method, in, out); err != nil {
		t.Fatalf("%s: %v", method, err)
	}
}

func (h *house) callFails(t testing.TB, code codes.Code, method string, in, out proto.Message, says string) {
	t.Helper()
	err := h.conn.Invoke(t.Context(), service+method, in, out)
	if status.Code(err) != code || !strings.Contains(err.Error(), says) {
		t.Errorf("%s: %v; want %v and %q", method, err, code, says)
	}
}

// rawRequest returns a request with the windows as bytes.
func rawRequest(w []float32) *pb.ModelInferRequest {
	return &pb.ModelInferRequest{ModelName: "pumps", Id: "7",
		Inputs:           []*pb.ModelInferRequest_InferInputTensor{{Name: "window", Datatype: "FP32", Shape: []int64{int64(len(w) / (length * width)), length, width}}},
		RawInputContents: [][]byte{bytesOf(w)}}
}

// plainRequest returns one with the windows as numbers.
func plainRequest(w []float32) *pb.ModelInferRequest {
	r := rawRequest(nil)
	r.Inputs[0].Shape[0] = int64(len(w) / (length * width))
	r.Inputs[0].Contents = &pb.InferTensorContents{Fp32Contents: w}
	r.RawInputContents = nil
	return r
}

func checkRPC(t testing.TB, a *pb.ModelInferResponse, want []event.Verdict) {
	t.Helper()
	if len(a.Outputs) != 2 || a.Outputs[0].Name != "value" || a.Outputs[1].Name != "risk" || a.Outputs[0].Shape[0] != int64(len(want)) || a.Id != "7" {
		t.Fatalf("%v", a)
	}
	number := func(o, i int) float32 {
		if len(a.RawOutputContents) > 0 {
			v := make([]float32, len(want))
			copy(bytesOf(v), a.RawOutputContents[o])
			return v[i]
		}
		return a.Outputs[o].Contents.Fp32Contents[i]
	}
	for i, w := range want {
		if !near(number(0, i), w.Value) || !near(number(1, i), w.Risk) {
			t.Fatalf("window %d: %v %v; want %v", i, number(0, i), number(1, i), w)
		}
	}
}

func TestRPCInfer(t *testing.T) {
	h := newHouse(t, nil)
	w, want := h.windows(t, h.champion, 70)
	a := &pb.ModelInferResponse{}
	h.call(t, "ModelInfer", rawRequest(w), a)
	if len(a.RawOutputContents) != 2 || a.ModelVersion != h.champion.Version {
		t.Errorf("%v", a)
	}
	checkRPC(t, a, want)
	a.Reset()
	h.call(t, "ModelInfer", plainRequest(w), a)
	if len(a.RawOutputContents) != 0 {
		t.Error("a request of numbers was answered with bytes")
	}
	checkRPC(t, a, want)

	r := rawRequest(w)
	r.Outputs = []*pb.ModelInferRequest_InferRequestedOutputTensor{{Name: "risk"}}
	a.Reset()
	h.call(t, "ModelInfer", r, a)
	if len(a.Outputs) != 1 || len(a.RawOutputContents) != 1 || a.Outputs[0].Name != "risk" {
		t.Errorf("%v", a)
	}
	unscaled := make([]float32, len(w))
	for i := range w {
		s := h.champion.Recipe.Scale[i%width]
		unscaled[i] = w[i]*float32(s.Std) + float32(s.Mean)
	}
	r = rawRequest(unscaled)
	r.Parameters = map[string]*pb.InferParameter{"scaled": {ParameterChoice: &pb.InferParameter_BoolParam{BoolParam: false}}}
	a.Reset()
	h.call(t, "ModelInfer", r, a)
	checkRPC(t, a, want)
}

func TestRPCErrors(t *testing.T) {
	h := newHouse(t, nil)
	w, _ := h.windows(t, h.champion, 2)
	fails := func(code codes.Code, says string, change func(*pb.ModelInferRequest)) {
		t.Helper()
		r := rawRequest(w)
		change(r)
		h.callFails(t, code, "ModelInfer", r, &pb.ModelInferResponse{}, says)
	}
	type request = *pb.ModelInferRequest
	fails(codes.NotFound, "cranes", func(r request) { r.ModelName = "cranes" })
	fails(codes.Unavailable, "no live version", func(r request) { r.ModelName = "fans" })
	fails(codes.Unavailable, "is not loaded", func(r request) { r.ModelVersion = h.other.Version })
	fails(codes.InvalidArgument, `datatype "BYTES"`, func(r request) { r.Inputs[0].Datatype = "BYTES" })
	fails(codes.InvalidArgument, "143 bytes of binary data are not shape [2,6,3]", func(r request) { r.RawInputContents[0] = r.RawInputContents[0][:143] })
	fails(codes.InvalidArgument, "2 raw_input_contents for 1 inputs", func(r request) { r.RawInputContents = append(r.RawInputContents, nil) })
	fails(codes.InvalidArgument, "neither contents nor", func(r request) { r.RawInputContents = nil })
	fails(codes.InvalidArgument, "not both", func(r request) { r.Inputs[0].Contents = &pb.InferTensorContents{Fp32Contents: w} })
	fails(codes.InvalidArgument, "fp64_contents instead of fp32_contents", func(r request) {
		r.RawInputContents, r.Inputs[0].Contents = nil, &pb.InferTensorContents{Fp64Contents: make([]float64, 36)}
	})
	fails(codes.InvalidArgument, "0 inputs", func(r request) { r.Inputs, r.RawInputContents = nil, nil })
	fails(codes.InvalidArgument, `"speed"`, func(r request) { r.Outputs = []*pb.ModelInferRequest_InferRequestedOutputTensor{{Name: "speed"}} })
	fails(codes.ResourceExhausted, "larger than max", func(r request) { r.RawInputContents[0] = make([]byte, 5<<20) })
	h.callFails(t, codes.Unimplemented, "TraceSetting", &pb.ServerLiveRequest{}, &pb.ServerLiveResponse{}, "TraceSetting")
	h.callFails(t, codes.FailedPrecondition, "RepositoryModelUnload", &pb.RepositoryModelUnloadRequest{ModelName: "pumps"}, &pb.RepositoryModelUnloadResponse{}, "champion")
}

func TestRPCMetadata(t *testing.T) {
	h := newHouse(t, nil)
	live, ready := &pb.ServerLiveResponse{}, &pb.ServerReadyResponse{}
	h.call(t, "ServerLive", &pb.ServerLiveRequest{}, live)
	h.call(t, "ServerReady", &pb.ServerReadyRequest{}, ready)
	if !live.Live || !ready.Ready {
		t.Error("not live, or not ready")
	}
	s := &pb.ServerMetadataResponse{}
	h.call(t, "ServerMetadata", &pb.ServerMetadataRequest{}, s)
	m := &pb.ModelMetadataResponse{}
	h.call(t, "ModelMetadata", &pb.ModelMetadataRequest{Name: "pumps"}, m)
	if s.Name != "andon" || m.Inputs[0].Shape[2] != width || len(m.Outputs) != 2 || len(m.Versions) != 2 || m.Properties["task"] != string(model.RemainingLife) {
		t.Errorf("%v %v", s, m)
	}
	c := &pb.ModelConfigResponse{}
	h.call(t, "ModelConfig", &pb.ModelConfigRequest{Name: "pumps"}, c)
	if c.Config.Input[0].DataType != pb.DataType_TYPE_FP32 || c.Config.Input[0].Dims[1] != width {
		t.Errorf("%v", c)
	}
	w, want := h.windows(t, h.champion, 3)
	a := &pb.ModelInferResponse{}
	h.call(t, "ModelInfer", rawRequest(w), a)
	checkRPC(t, a, want)
	st := &pb.ModelStatisticsResponse{}
	h.call(t, "ModelStatistics", &pb.ModelStatisticsRequest{Name: "pumps"}, st)
	if len(st.ModelStats) != 1 || st.ModelStats[0].InferenceCount != 3 || st.ModelStats[0].InferenceStats.Success.Count != 1 {
		t.Errorf("%v", st)
	}
	i := &pb.RepositoryIndexResponse{}
	version := map[string]*pb.ModelRepositoryParameter{"version": {ParameterChoice: &pb.ModelRepositoryParameter_StringParam{StringParam: h.other.Version}}}
	h.call(t, "RepositoryModelLoad", &pb.RepositoryModelLoadRequest{ModelName: "pumps", Parameters: version}, &pb.RepositoryModelLoadResponse{})
	h.call(t, "RepositoryIndex", &pb.RepositoryIndexRequest{Ready: true}, i)
	if len(i.Models) != 2 {
		t.Errorf("%v", i)
	}
	h.call(t, "RepositoryModelUnload", &pb.RepositoryModelUnloadRequest{ModelName: "pumps", Parameters: version}, &pb.RepositoryModelUnloadResponse{})
	is := &pb.ModelReadyResponse{}
	h.call(t, "ModelReady", &pb.ModelReadyRequest{Name: "pumps", Version: h.other.Version}, is)
	if is.Ready {
		t.Error("ready after it was unloaded")
	}
}

func TestRPCStream(t *testing.T) {
	h := newHouse(t, nil)
	w, want := h.windows(t, h.champion, 4)
	st, err := h.conn.NewStream(t.Context(), &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, service+"ModelStreamInfer")
	if err != nil {
		t.Fatal(err)
	}
	exchange := func(r *pb.ModelInferRequest) *pb.ModelStreamInferResponse {
		t.Helper()
		a := &pb.ModelStreamInferResponse{}
		if err := st.SendMsg(r); err != nil {
			t.Fatal(err)
		}
		if err := st.RecvMsg(a); err != nil {
			t.Fatal(err)
		}
		return a
	}
	checkRPC(t, exchange(rawRequest(w)).InferResponse, want)
	bad := rawRequest(w)
	bad.ModelName = "cranes"
	if a := exchange(bad); !strings.Contains(a.ErrorMessage, "cranes") || a.InferResponse.Id != "7" {
		t.Errorf("%v", a)
	}
	checkRPC(t, exchange(rawRequest(w)).InferResponse, want)
	if err := st.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if err := st.RecvMsg(&pb.ModelStreamInferResponse{}); err == nil || err.Error() != "EOF" {
		t.Errorf("after the last: %v", err)
	}
}

// slow is a judge that answers when its context ends, and tells when it was asked.
type slow struct {
	Judge
	asked chan struct{}
}

func (s slow) Serve(ctx context.Context, _ *model.Model, _ []float32, _ []event.Verdict) error {
	s.asked <- struct{}{}
	<-ctx.Done()
	return ctx.Err()
}

func TestNotInTime(t *testing.T) {
	h := newHouse(t, func(c *Config) { c.Timeout = 20 * time.Millisecond; c.Calls = 2 })
	w, _ := h.windows(t, h.champion, 1)
	asked := make(chan struct{}, 8)
	h.Server.judge = slow{h.judge, asked}
	h.callFails(t, codes.Unavailable, "ModelInfer", rawRequest(w), &pb.ModelInferResponse{}, "inference.timeout")
	h.fails(t, 503, "POST", "/v2/models/pumps/infer", request(w, ""), "inference.timeout")
	h.cfg.Timeout = time.Minute
	h.fails(t, 503, "POST", "/v2/models/pumps/infer", request(w, `"parameters":{"timeout":20000},`), "timeout")
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if err := h.conn.Invoke(ctx, service+"ModelInfer", rawRequest(w), &pb.ModelInferResponse{}); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("the caller's deadline: %v", err)
	}
	outside := func() { // a caller knows that its time is over before the server has left the call
		t.Helper()
		for end := time.Now().Add(time.Minute); h.inside.Load() > 0; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("calls that were given up stay inside")
			}
		}
	}
	outside()
	for len(asked) > 0 {
		<-asked
	}

	// With as many calls in progress as there may be, the next is refused at once; calls that are given up make room.
	ctx, cancel = context.WithCancel(t.Context())
	ended := make(chan error, 2)
	for range 2 {
		go func() { ended <- h.conn.Invoke(ctx, service+"ModelInfer", rawRequest(w), &pb.ModelInferResponse{}) }()
		select {
		case <-asked:
		case err := <-ended:
			t.Fatal("refused: ", err)
		}
	}
	h.callFails(t, codes.Unavailable, "ModelInfer", rawRequest(w), &pb.ModelInferResponse{}, "inference.calls")
	h.fails(t, 503, "POST", "/v2/models/pumps/infer", request(w, ""), "inference.calls")
	cancel()
	for range 2 {
		if err := <-ended; status.Code(err) != codes.Canceled {
			t.Errorf("given up: %v", err)
		}
	}
	outside()
	h.Server.judge = h.judge
	h.call(t, "ModelInfer", rawRequest(w), &pb.ModelInferResponse{})
}
