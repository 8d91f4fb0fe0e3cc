package main

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// formFaults says in an operator's words what keeps text from being a configuration: every fault, with line and key. The decoder ends at the first
// value that its type refuses and does not name the key; so each value is decoded again, alone.
func formFaults(text []byte, err error) error {
	var doc yaml.Node
	if yaml.Unmarshal(text, &doc) != nil || len(doc.Content) != 1 {
		return errors.New(strings.TrimPrefix(err.Error(), "yaml: "))
	}
	var said []string
	leaves(doc.Content[0], "", func(n *yaml.Node) *yaml.Node { return n }, func(key string, leaf, alone *yaml.Node) {
		text, err := yaml.Marshal(alone)
		if err != nil {
			return
		}
		c := defaultConfig()
		d := yaml.NewDecoder(bytes.NewReader(text))
		d.KnownFields(true)
		if err := d.Decode(&c); err != nil {
			said = append(said, formFault(key, leaf, err))
		}
	})
	if len(said) == 0 {
		return errors.New(strings.TrimPrefix(err.Error(), "yaml: "))
	}
	var errs []error
	for _, s := range slices.Compact(said) { // an unknown section is told once, not for each of its keys
		errs = append(errs, errors.New(s))
	}
	return errors.Join(errs...)
}

// leaves calls f with the key of each value, and with a document that holds that value only.
func leaves(n *yaml.Node, key string, wrap func(*yaml.Node) *yaml.Node, f func(key string, leaf, alone *yaml.Node)) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	switch {
	case n.Kind == yaml.MappingNode && len(n.Content) > 0:
		for i := 0; i+1 < len(n.Content); i += 2 {
			name, inner := n.Content[i], n.Content[i+1]
			below := strings.TrimPrefix(key+"."+name.Value, ".")
			if inner.Kind == yaml.ScalarNode || len(inner.Content) == 0 {
				inner.Line = name.Line
			}
			leaves(inner, below, func(v *yaml.Node) *yaml.Node {
				return wrap(&yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Content: []*yaml.Node{name, v}})
			}, f)
		}
	case n.Kind == yaml.SequenceNode && len(n.Content) > 0:
		for i, inner := range n.Content {
			leaves(inner, key+"["+strconv.Itoa(i)+"]", func(v *yaml.Node) *yaml.Node {
				return wrap(&yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq", Content: []*yaml.Node{v}})
			}, f)
		}
	default:
		f(key, n, wrap(n))
	}
}

var (
	unknownField = regexp.MustCompile(`field (\S+) not found in type \S+`)
	wrongType    = regexp.MustCompile(`cannot unmarshal !!(\w+).* into (\S+)`)
	wrongLevel   = regexp.MustCompile(`slog: level string .*`)
)

// formFault tells what is wrong with one value.
func formFault(key string, leaf *yaml.Node, err error) string {
	message := strings.TrimPrefix(err.Error(), "yaml: ")
	if m := unknownField.FindStringSubmatch(message); m != nil {
		in := ""
		if at := strings.Index("."+key+".", "."+m[1]+"."); at > 0 { // the key may lie deeper than the name that nobody knows
			in = " in " + key[:at-1]
		}
		return fmt.Sprintf("line %d: unknown key %q%s (andon config print shows the keys there are)", leaf.Line, m[1], in)
	}
	if m := wrongType.FindStringSubmatch(message); m != nil {
		value := strconv.Quote(leaf.Value)
		switch m[1] {
		case "seq":
			value, key = "a list", key[:max(0, strings.LastIndexByte(key, '['))]
		case "map":
			value, key = "a group of keys", key[:max(0, strings.LastIndexByte(key, '.'))]
		}
		return fmt.Sprintf("line %d: %s: %s is not %s", leaf.Line, key, value, form(m[2]))
	}
	where := fmt.Sprintf("line %d: %s: ", leaf.Line, key)
	if wrongLevel.MatchString(message) {
		return where + strconv.Quote(leaf.Value) + " is not DEBUG, INFO, WARN or ERROR"
	}
	return where + message
}

// form names what a Go type is written as.
func form(goType string) string {
	switch {
	case goType == "time.Duration":
		return "a duration: write it with its unit, as 250ms, 5s or 24h"
	case strings.HasPrefix(goType, "int") || strings.HasPrefix(goType, "uint"):
		return "a whole number"
	case strings.HasPrefix(goType, "float"):
		return "a number"
	case goType == "bool":
		return "true or false"
	case strings.HasPrefix(goType, "[]"):
		return "a list: write it in brackets"
	case goType == "string":
		return "a text"
	case goType == "time.Time":
		return "a time: write it as 2020-01-31T05:00:00Z"
	}
	return "a group of keys"
}
