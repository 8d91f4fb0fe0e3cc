// Package pb holds the messages of the Open Inference Protocol's gRPC form. inference.pb.go is made from inference.proto by `go generate ./scorer/oip/pb`, which
// needs npm for buf, the compiler; it is pinned here, and the plugin in buf.gen.yaml.
package pb

//go:generate npx --yes @bufbuild/buf@1.75.0 generate
