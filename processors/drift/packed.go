package drift

import (
	"bytes"
	"compress/flate"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// A reference's file is JSON, packed by DEFLATE, after one byte that tells its kind and version. mostPacked bounds what is unpacked, in bytes.
const mostPacked = 16 << 20

// pack appends the file of what value holds.
func pack(dst []byte, version byte, value any) ([]byte, error) {
	b := bytes.NewBuffer(append(dst, version))
	w, err := flate.NewWriter(b, flate.BestCompression)
	if err == nil {
		err = json.NewEncoder(w).Encode(value)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// unpack reads a file of that version into what value points to. A file of another version or kind, one that is cut or spoiled and one that unpacks to more than mostPacked are errors.
func unpack(data []byte, version byte, value any) error {
	if len(data) == 0 || data[0] != version {
		return errors.New("it is of another version: train the model again")
	}
	text, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(data[1:])), mostPacked+1))
	if err != nil {
		return err
	}
	if len(text) > mostPacked {
		return fmt.Errorf("it unpacks to more than %d bytes", mostPacked)
	}
	return json.Unmarshal(text, value)
}
