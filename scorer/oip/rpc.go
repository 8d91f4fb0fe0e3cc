package oip

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"andon/scorer/oip/pb"
)

const (
	// streams is the number of calls that one connection may have open; more wait at the client.
	streams = 512
	// lastWords is how long the end waits for the calls in progress.
	lastWords = 3 * time.Second
)

// ServeRPC answers gRPC on the listener's connections until ctx ends, and lets calls in progress finish for a few seconds. It closes the listener.
func (s *Server) ServeRPC(ctx context.Context, l net.Listener) error {
	g := grpc.NewServer(
		grpc.MaxRecvMsgSize(int(s.cfg.MaxRequest)), grpc.MaxConcurrentStreams(streams), grpc.WaitForHandlers(true),
		grpc.ConnectionTimeout(5*time.Second),
		grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionIdle: 15 * time.Minute, Time: 2 * time.Minute, Timeout: 20 * time.Second}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second, PermitWithoutStream: true}),
	)
	g.RegisterService(s.service(), nil)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		<-ctx.Done()
		force := time.AfterFunc(lastWords, g.Stop)
		defer force.Stop()
		g.GracefulStop()
	}()
	err := g.Serve(l)
	if ctx.Err() == nil {
		return fmt.Errorf("serve gRPC: %w", err)
	}
	<-ended
	return nil
}

// service describes our methods to gRPC. Each is a stream to it, also where one message goes each way, which looks the same on the wire: so a call takes its
// place among those in progress before its request is read, and not after.
func (s *Server) service() *grpc.ServiceDesc {
	return &grpc.ServiceDesc{ServiceName: "inference.GRPCInferenceService", HandlerType: (*any)(nil), Metadata: "inference.proto", Streams: []grpc.StreamDesc{
		unary(s, "ServerLive", func(context.Context, *pb.ServerLiveRequest) (*pb.ServerLiveResponse, *fault) {
			return &pb.ServerLiveResponse{Live: true}, nil
		}),
		unary(s, "ServerReady", func(context.Context, *pb.ServerReadyRequest) (*pb.ServerReadyResponse, *fault) {
			return &pb.ServerReadyResponse{Ready: s.ready() == nil}, nil
		}),
		unary(s, "ModelReady", func(_ context.Context, r *pb.ModelReadyRequest) (*pb.ModelReadyResponse, *fault) {
			is, f := s.modelReady(r.Name, r.Version)
			return &pb.ModelReadyResponse{Ready: is}, f
		}),
		unary(s, "ServerMetadata", func(context.Context, *pb.ServerMetadataRequest) (*pb.ServerMetadataResponse, *fault) {
			m := s.metadata()
			return &pb.ServerMetadataResponse{Name: m.Name, Version: m.Version, Extensions: m.Extensions}, nil
		}),
		unary(s, "ModelMetadata", s.rpcMetadata),
		unary(s, "ModelConfig", s.rpcConfig),
		unary(s, "ModelStatistics", s.rpcStatistics),
		unary(s, "ModelInfer", s.rpcInfer),
		unary(s, "RepositoryIndex", func(_ context.Context, r *pb.RepositoryIndexRequest) (*pb.RepositoryIndexResponse, *fault) {
			a := &pb.RepositoryIndexResponse{}
			for _, i := range s.catalog.index(r.Ready) {
				a.Models = append(a.Models, &pb.RepositoryIndexResponse_ModelIndex{Name: i.Name, Version: i.Version, State: i.State, Reason: i.Reason})
			}
			return a, nil
		}),
		unary(s, "RepositoryModelLoad", func(ctx context.Context, r *pb.RepositoryModelLoadRequest) (*pb.RepositoryModelLoadResponse, *fault) {
			return &pb.RepositoryModelLoadResponse{}, s.control(ctx, r.ModelName, true, repositoryParameters(r.Parameters))
		}),
		unary(s, "RepositoryModelUnload", func(ctx context.Context, r *pb.RepositoryModelUnloadRequest) (*pb.RepositoryModelUnloadResponse, *fault) {
			return &pb.RepositoryModelUnloadResponse{}, s.control(ctx, r.ModelName, false, repositoryParameters(r.Parameters))
		}),
		{StreamName: "ModelStreamInfer", ServerStreams: true, ClientStreams: true, Handler: func(_ any, st grpc.ServerStream) error { return s.stream(st) }},
	}}
}

// message is a pointer to a protobuf message of type T.
type message[T any] interface {
	*T
	proto.Message
}

// unary makes a method of one request and one answer.
func unary[Q, A any, PQ message[Q], PA message[A]](s *Server, name string, f func(context.Context, PQ) (PA, *fault)) grpc.StreamDesc {
	return grpc.StreamDesc{StreamName: name, Handler: func(_ any, st grpc.ServerStream) error {
		if f := s.enter(); f != nil {
			s.metrics.refused(rpc)
			return told(f)
		}
		defer s.leave()
		var q Q
		if err := st.RecvMsg(PQ(&q)); err != nil {
			return err
		}
		a, fault := f(st.Context(), &q)
		if fault != nil {
			return told(fault)
		}
		return st.SendMsg(a)
	}}
}

// told returns a fault as gRPC tells it.
func told(f *fault) error {
	if f.code == codes.OK {
		return status.Error(codes.Unimplemented, f.text)
	}
	return status.Error(f.code, f.text)
}

// stream answers one request after the other; a fault of one ends none of the others.
func (s *Server) stream(st grpc.ServerStream) error {
	if n := s.streams.Add(1); n > int64(s.cfg.Calls) {
		s.streams.Add(-1)
		s.metrics.refused(rpc)
		return told(busy("%d streams are open, as many as inference.calls allows: try again", s.cfg.Calls))
	}
	defer s.streams.Add(-1)
	for {
		r := &pb.ModelInferRequest{}
		if err := st.RecvMsg(r); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		a := &pb.ModelStreamInferResponse{}
		f := s.enter()
		if f == nil {
			a.InferResponse, f = s.rpcInfer(st.Context(), r)
			s.leave()
		} else {
			s.metrics.refused(rpc)
		}
		if f != nil {
			a.ErrorMessage, a.InferResponse = f.text, &pb.ModelInferResponse{ModelName: r.ModelName, ModelVersion: r.ModelVersion, Id: r.Id}
		}
		if err := st.SendMsg(a); err != nil {
			return err
		}
	}
}

func (s *Server) rpcMetadata(_ context.Context, r *pb.ModelMetadataRequest) (*pb.ModelMetadataResponse, *fault) {
	d, f := s.describe(r.Name, r.Version)
	if f != nil {
		return nil, f
	}
	ports := func(list []port) (all []*pb.ModelMetadataResponse_TensorMetadata) {
		for _, p := range list {
			all = append(all, &pb.ModelMetadataResponse_TensorMetadata{Name: p.Name, Datatype: p.Datatype, Shape: p.Shape})
		}
		return all
	}
	return &pb.ModelMetadataResponse{Name: d.Name, Versions: d.Versions, Platform: d.Platform, Inputs: ports(d.Inputs), Outputs: ports(d.Outputs),
		Properties: d.Properties}, nil
}

func (s *Server) rpcConfig(_ context.Context, r *pb.ModelConfigRequest) (*pb.ModelConfigResponse, *fault) {
	d, f := s.describe(r.Name, r.Version)
	if f != nil {
		return nil, f
	}
	c := d.config()
	a := &pb.ModelConfig{Name: c.Name, Platform: c.Platform, Backend: c.Backend, MaxBatchSize: int32(c.MaxBatchSize)}
	for _, p := range c.Input {
		a.Input = append(a.Input, &pb.ModelInput{Name: p.Name, DataType: pb.DataType_TYPE_FP32, Dims: p.Dims})
	}
	for _, p := range c.Output {
		a.Output = append(a.Output, &pb.ModelOutput{Name: p.Name, DataType: pb.DataType_TYPE_FP32, Dims: p.Dims})
	}
	return &pb.ModelConfigResponse{Config: a}, nil
}

func (s *Server) rpcStatistics(_ context.Context, r *pb.ModelStatisticsRequest) (*pb.ModelStatisticsResponse, *fault) {
	list, f := s.catalog.stats(r.Name, r.Version)
	if f != nil {
		return nil, f
	}
	d := func(d duration) *pb.StatisticDuration { return &pb.StatisticDuration{Count: d.Count, Ns: d.NS} }
	a := &pb.ModelStatisticsResponse{}
	for _, m := range statsJSON(list) {
		t := &m.Stats
		v := &pb.ModelStatistics{Name: m.Name, Version: m.Version, LastInference: m.Last, InferenceCount: m.Inferences, ExecutionCount: m.Executions,
			InferenceStats: &pb.InferStatistics{Success: d(t.Success), Fail: d(t.Fail), Queue: d(t.Queue), ComputeInput: d(t.ComputeInput),
				ComputeInfer: d(t.ComputeInfer), ComputeOutput: d(t.ComputeOutput), CacheHit: d(t.CacheHit), CacheMiss: d(t.CacheMiss)}}
		for _, b := range m.Batches {
			v.BatchStats = append(v.BatchStats, &pb.InferBatchStatistics{BatchSize: uint64(b.Size), ComputeInput: d(b.ComputeInput),
				ComputeInfer: d(b.ComputeInfer), ComputeOutput: d(b.ComputeOutput)})
		}
		a.ModelStats = append(a.ModelStats, v)
	}
	return a, nil
}

// repositoryParameters returns them as control takes them.
func repositoryParameters(list map[string]*pb.ModelRepositoryParameter) map[string]any {
	all := map[string]any{}
	for key, p := range list {
		switch v := p.GetParameterChoice().(type) {
		case *pb.ModelRepositoryParameter_StringParam:
			all[key] = v.StringParam
		case *pb.ModelRepositoryParameter_BoolParam:
			all[key] = v.BoolParam
		default:
			all[key] = nil
		}
	}
	return all
}

// rpcInfer scores.
func (s *Server) rpcInfer(ctx context.Context, r *pb.ModelInferRequest) (*pb.ModelInferResponse, *fault) {
	v, m, f := s.catalog.ready(r.ModelName, r.ModelVersion)
	if f != nil {
		s.metrics.refused(rpc)
		return nil, f
	}
	c := newCall()
	defer c.free()
	if f = c.fromRPC(r); f == nil {
		if f = c.accept(m); f == nil {
			f = s.score(ctx, m, c)
		}
	}
	var a *pb.ModelInferResponse
	if f == nil {
		a = c.toRPC(v, len(r.RawInputContents) > 0)
	}
	s.done(rpc, v, c, f)
	return a, f
}

// fromRPC reads a request, whose memory the call then uses.
func (c *call) fromRPC(r *pb.ModelInferRequest) *fault {
	c.id = r.Id
	if len(r.RawInputContents) > 0 && len(r.RawInputContents) != len(r.Inputs) {
		return wrong("%d raw_input_contents for %d inputs", len(r.RawInputContents), len(r.Inputs))
	}
	for key, p := range r.Parameters {
		switch key {
		case "scaled":
			b, ok := p.GetParameterChoice().(*pb.InferParameter_BoolParam)
			if !ok {
				return wrong("the parameter scaled is not a bool")
			}
			c.unscaled = !b.BoolParam
		case "timeout":
			c.limit(max(p.GetInt64Param(), int64(min(p.GetUint64Param(), 1<<62))))
		}
	}
	for i, in := range r.Inputs {
		if in == nil {
			return wrong("input %d is empty", i)
		}
		if in.Parameters["shared_memory_region"] != nil {
			return wrong("shared memory is not served: send the tensor in the request")
		}
		t := c.input()
		t.name, t.datatype, t.shape = in.Name, in.Datatype, append(t.shape[:0], in.Shape...)
		switch k := in.Contents; {
		case len(r.RawInputContents) > 0 && k != nil && contents(k) != "":
			return wrong("input %s: send contents or raw_input_contents, not both", in.Name)
		case len(r.RawInputContents) > 0:
			t.binary, t.raw = true, r.RawInputContents[i]
		case k == nil:
			return wrong("input %s: it has neither contents nor raw_input_contents", in.Name)
		default:
			t.numbers = k.Fp32Contents
			if has := contents(k); has != "fp32_contents" && has != "" {
				t.strange = has + " instead of fp32_contents"
			}
		}
	}
	for _, o := range r.Outputs {
		for _, key := range []string{"classification", "shared_memory_region"} {
			if o.GetParameters()[key] != nil {
				return wrong("the output parameter %s is not served", key)
			}
		}
		if f := c.want(o.GetName(), wanted{}); f != nil {
			return f
		}
	}
	c.all()
	return nil
}

// contents names the field that holds a tensor's elements, or several of them.
func contents(k *pb.InferTensorContents) string {
	var has []string
	for _, f := range []struct {
		name string
		n    int
	}{{"bool_contents", len(k.BoolContents)}, {"int_contents", len(k.IntContents)}, {"int64_contents", len(k.Int64Contents)},
		{"uint_contents", len(k.UintContents)}, {"uint64_contents", len(k.Uint64Contents)}, {"fp32_contents", len(k.Fp32Contents)},
		{"fp64_contents", len(k.Fp64Contents)}, {"bytes_contents", len(k.BytesContents)}} {
		if f.n > 0 {
			has = append(has, f.name)
		}
	}
	return strings.Join(has, " and ")
}

// toRPC makes the answer, which outlives the call: raw if the request was.
func (c *call) toRPC(v *served, raw bool) *pb.ModelInferResponse {
	a := &pb.ModelInferResponse{ModelName: v.name, ModelVersion: v.version, Id: c.id, Outputs: make([]*pb.ModelInferResponse_InferOutputTensor, 0, len(c.outputs))}
	shape := []int64{int64(len(c.out)), 1}
	for _, o := range c.outputs {
		t := &pb.ModelInferResponse_InferOutputTensor{Name: o.name(), Datatype: "FP32", Shape: shape}
		if raw {
			a.RawOutputContents = append(a.RawOutputContents, c.appendRaw(make([]byte, 0, 4*len(c.out)), o))
		} else {
			t.Contents = &pb.InferTensorContents{Fp32Contents: make([]float32, len(c.out))}
			for i := range c.out {
				t.Contents.Fp32Contents[i] = c.number(i, o)
			}
		}
		a.Outputs = append(a.Outputs, t)
	}
	return a
}
