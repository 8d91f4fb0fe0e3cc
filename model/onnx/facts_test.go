package onnx

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

func TestInspect(t *testing.T) {
	inner := NewGraph("inner")
	inner.Node("Tanh", []string{"in"}, []string{"out"})
	g := NewGraph("outer")
	x := g.Input("x", Float, Dim{Name: "n"})
	g.Node("Scan", []string{x, g.Floats("w", []int{1}, []float32{1})}, []string{"y"}, Body("body", inner))
	g.Input("w", Float, Fixed(1)...) // a constant that may be fed, as old exporters write all of them
	g.Output("y", Float, Dim{Name: "n"})
	custom := appendString(appendString(nil, nodeOp, "Solve"), nodeDomain, "com.stranger")
	g.nodes = append(g.nodes, custom)
	outside := appendBytes(appendString(nil, tensorName, "big"), tensorExternal, nil)
	g.inits = append(g.inits, appendInt(outside, tensorLocation, 1))
	f, err := Inspect(g.Model())
	if err != nil {
		t.Fatal(err)
	}
	want := map[Op]int{{"", "Scan"}: 1, {"", "Tanh"}: 1, {"com.stranger", "Solve"}: 1}
	if !maps.Equal(f.Ops, want) || f.Nodes != 3 || f.IR != IRVersion || f.Opsets[""] != Opset || f.Producer != "andon" {
		t.Errorf("facts %+v", f)
	}
	if !slices.Equal(f.Domains(), []string{"", "com.stranger"}) || !slices.Equal(f.External, []string{"big"}) {
		t.Errorf("domains %q, external %q", f.Domains(), f.External)
	}
	if !slices.Equal(f.Inputs, []string{"x"}) || !slices.Equal(f.Outputs, []string{"y"}) {
		t.Errorf("inputs %q, outputs %q", f.Inputs, f.Outputs)
	}
	function := appendString(appendString(nil, functionName, "Solve"), functionDomain, "com.stranger")
	function = appendBytes(function, functionNode, appendString(nil, nodeOp, "Add"))
	if f, err = Inspect(appendBytes(g.Model(), modelFunctions, function)); err != nil || !slices.Equal(f.Domains(), []string{""}) || f.Ops[Op{"", "Add"}] != 1 {
		t.Errorf("with a function: %+v, %v", f, err)
	}

	deep := NewGraph("deep")
	for range maxDepth + 2 {
		outer := NewGraph("deep")
		outer.Node("If", nil, nil, Body("then_branch", deep))
		deep = outer
	}
	for name, b := range map[string][]byte{"empty": nil, "text": []byte("not a model"), "no graph": appendInt(nil, modelIR, 8), "deep": deep.Model()} {
		if _, err := Inspect(b); err == nil {
			t.Errorf("%s was taken for a file", name)
		}
	}
}

func TestEmbed(t *testing.T) {
	branch := NewGraph("b")
	branch.Node("Neg", []string{"x"}, []string{"z"})
	branch.Output("z", Float, Dim{Name: "n"})
	file := NewGraph("f")
	file.Input("x", Float, Dim{Name: "n"})
	file.Node("If", []string{"cond"}, []string{"y"}, Body("then_branch", branch), Body("else_branch", branch))
	file.Node("Clip", []string{"y", "", file.Floats("max", nil, []float32{1})}, []string{"value"})
	file.Output("value", Float, Dim{Name: "n"})

	g := NewGraph("g")
	g.Input("value", Float, Dim{Name: "n"}) // what the file calls its output
	if err := g.Embed(file.Model(), "in/", map[string]string{"x": "value"}); err != nil {
		t.Fatal(err)
	}
	g.Node("Identity", []string{"in/value"}, []string{"y"})
	g.Output("y", Float, Dim{Name: "n"})
	var names []string
	var walk func(b []byte)
	walk = func(b []byte) {
		_ = Each(b, func(n protowire.Number, v []byte, _ uint64) error {
			if n == graphNode {
				return Each(v, func(n protowire.Number, v []byte, _ uint64) error {
					switch n {
					case nodeInput, nodeOutput:
						names = append(names, string(v))
					case nodeAttr:
						return Each(v, func(n protowire.Number, v []byte, _ uint64) error {
							if n == attrGraph {
								walk(v)
							}
							return nil
						})
					}
					return nil
				})
			}
			return nil
		})
	}
	_ = Each(g.Model(), func(n protowire.Number, v []byte, _ uint64) error {
		if n == modelGraph {
			walk(v)
		}
		return nil
	})
	want := "in/cond in/y value in/z value in/z in/y  in/max in/value in/value y"
	if got := strings.Join(names, " "); got != want {
		t.Errorf("tensors %q, want %q", got, want)
	}
	if err := NewGraph("h").Embed(file.Model(), "in/", nil); err == nil || !strings.Contains(err.Error(), `input "x"`) {
		t.Errorf("an input that is fed by nothing: %v", err)
	}
	old := appendInt(file.Model(), modelIR, 3)
	set := appendInt(appendString(nil, opsetDomain, ""), opsetVersion, 7)
	if err := NewGraph("h").Embed(appendBytes(old, modelOpset, set), "in/", map[string]string{"x": "a"}); err == nil || !strings.Contains(err.Error(), "operator set 7") {
		t.Errorf("an old operator set: %v", err)
	}
}

// Whatever the bytes, reading them ends without a panic, and what can be embedded can be read again.
func FuzzEmbed(f *testing.F) {
	f.Add(sample().Model())
	f.Add([]byte("not a model"))
	f.Fuzz(func(t *testing.T, file []byte) {
		facts, err := Inspect(file)
		if err != nil {
			return
		}
		g, inputs := NewGraph("g"), map[string]string{}
		for _, name := range facts.Inputs {
			inputs[name] = "x"
		}
		if g.Embed(file, "in/", inputs) != nil {
			return
		}
		if _, err := Inspect(g.Model()); err != nil {
			t.Errorf("what was embedded cannot be read: %v", err)
		}
	})
}
