package onnx

import "google.golang.org/protobuf/encoding/protowire"

// Field numbers of onnx.proto, by message.
const (
	modelIR              = 1
	modelProducer        = 2
	modelProducerVersion = 3
	modelGraph           = 7
	modelOpset           = 8
	modelFunctions       = 25

	opsetDomain  = 1
	opsetVersion = 2

	graphNode      = 1
	graphName      = 2
	graphInit      = 5
	graphInput     = 11
	graphOutput    = 12
	graphValueInfo = 13
	graphSparse    = 15

	functionName   = 1
	functionNode   = 7
	functionDomain = 10

	nodeInput  = 1
	nodeOutput = 2
	nodeOp     = 4
	nodeAttr   = 5
	nodeDomain = 7

	attrName    = 1
	attrFloat   = 2
	attrInt     = 3
	attrString  = 4
	attrTensor  = 5
	attrGraph   = 6
	attrInts    = 8
	attrTensors = 10
	attrGraphs  = 11
	attrType    = 20

	tensorDims     = 1
	tensorType     = 2
	tensorName     = 8
	tensorRaw      = 9
	tensorExternal = 13
	tensorLocation = 14

	sparseValues = 1

	valueName       = 1
	valueType       = 2
	typeTensor      = 1
	tensorTypeElem  = 1
	tensorTypeShape = 2
	shapeDim        = 1
	dimValue        = 1
	dimParam        = 2
)

// AttributeProto.AttributeType.
const (
	attrKindFloat  = 1
	attrKindInt    = 2
	attrKindString = 3
	attrKindGraph  = 5
	attrKindInts   = 7
)

func appendInt(b []byte, n protowire.Number, v int64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, n, protowire.VarintType), uint64(v))
}

func appendBytes(b []byte, n protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, n, protowire.BytesType), v)
}

func appendString(b []byte, n protowire.Number, v string) []byte {
	return protowire.AppendString(protowire.AppendTag(b, n, protowire.BytesType), v)
}

func valueInfo(name string, t Type, dims []Dim) []byte {
	var shape []byte
	for _, d := range dims {
		var dim []byte
		if d.Name != "" {
			dim = appendString(dim, dimParam, d.Name)
		} else {
			dim = appendInt(dim, dimValue, d.Size)
		}
		shape = appendBytes(shape, shapeDim, dim)
	}
	var tensor []byte
	tensor = appendInt(tensor, tensorTypeElem, int64(t))
	tensor = appendBytes(tensor, tensorTypeShape, shape)
	b := appendString(nil, valueName, name)
	return appendBytes(b, valueType, appendBytes(nil, typeTensor, tensor))
}
