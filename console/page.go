package console

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"

	"go.yaml.in/yaml/v3"
)

// dist is the built page. It is not in git: a build without it serves a page that says so.
//
//go:embed all:ui/dist
var dist embed.FS

//go:embed openapi.yaml
var openapi []byte

const unbuilt = `<!doctype html><html lang="en"><meta charset="utf-8"><title>Andon</title>
<h1>Andon is running, without its page</h1>
<p>This binary was built without the console's page. Run <code>make build</code> and start it again.</p>
<p>The API, <a href="/metrics">/metrics</a> and <a href="/readyz">/readyz</a> work as usual.</p></html>
`

// page serves the built files from memory, compressed once.
type page struct {
	files map[string]*file
	// description is openapi.yaml as JSON.
	description []byte
}

type file struct {
	kind, tag   string
	plain, zip  []byte
	neverChange bool
}

func newPage() *page {
	p := &page{files: map[string]*file{}}
	root, err := fs.Sub(dist, "ui/dist")
	if err != nil {
		panic("console: " + err.Error())
	}
	p.load(root)
	var doc any
	if err := yaml.Unmarshal(openapi, &doc); err != nil {
		panic("console: openapi.yaml: " + err.Error())
	}
	if p.description, err = json.MarshalIndent(doc, "", "  "); err != nil {
		panic("console: openapi.yaml: " + err.Error())
	}
	return p
}

func (p *page) load(root fs.FS) {
	_ = fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasPrefix(path.Base(name), ".") {
			return err
		}
		data, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		p.files["/"+name] = newFile(name, data)
		return nil
	})
	if p.files["/index.html"] == nil {
		p.files["/index.html"] = newFile("index.html", []byte(unbuilt))
	}
}

func newFile(name string, data []byte) *file {
	sum := sha256.Sum256(data)
	f := &file{plain: data, tag: `"` + hex.EncodeToString(sum[:8]) + `"`, kind: mime.TypeByExtension(path.Ext(name))}
	switch path.Ext(name) {
	case ".js": // whatever the machine's own table says
		f.kind = "text/javascript; charset=utf-8"
	case ".woff2":
		f.kind = "font/woff2"
	}
	// The build names these by their content.
	f.neverChange = strings.HasPrefix(name, "assets/")
	if strings.HasPrefix(f.kind, "text/") || strings.HasPrefix(f.kind, "image/svg") {
		var b bytes.Buffer
		z, _ := gzip.NewWriterLevel(&b, gzip.BestCompression)
		_, _ = z.Write(data)
		_ = z.Close()
		if b.Len() < len(data) {
			f.zip = b.Bytes()
		}
	}
	return f
}

func (p *page) serve(w http.ResponseWriter, r *http.Request) {
	name := r.URL.Path
	if name == "/" {
		name = "/index.html"
	}
	f := p.files[name]
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		fail(w, http.StatusMethodNotAllowed, codeBadRequest, r.Method+" is not for "+r.URL.Path+"; /api/v1/openapi.yaml lists what there is")
		return
	case f == nil:
		fail(w, http.StatusNotFound, codeNotFound, "there is nothing at "+r.URL.Path+"; /api/v1/openapi.yaml lists what there is")
		return
	}
	h := w.Header()
	h.Set("Content-Type", f.kind)
	h.Set("ETag", f.tag)
	h.Set("Cache-Control", "no-cache")
	if f.neverChange {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	body := f.plain
	if f.zip != nil {
		h.Set("Vary", "Accept-Encoding")
		if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			h.Set("Content-Encoding", "gzip")
			body = f.zip
		}
	}
	if r.Header.Get("If-None-Match") == f.tag {
		h.Del("Content-Encoding")
		w.WriteHeader(http.StatusNotModified)
		return
	}
	_, _ = w.Write(body)
}

func (p *page) openapiYAML(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/yaml")
	_, _ = w.Write(openapi)
}

func (p *page) openapiJSON(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(p.description)
}
