package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// findRoot returns the repository's root: the folder with the go.mod, from here up.
func findRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "deploy", "kafka", "start-broker.sh")); err == nil {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", errors.New("no deploy/kafka/start-broker.sh from here up: run this inside the repository")
		}
		dir = up
	}
}

// build makes what the peers need and what is missing or older than its sources.
func build(ctx context.Context, root string, peers []Peer, log *slog.Logger) error {
	needs := func(what Build) bool { return slices.ContainsFunc(peers, func(p Peer) bool { return p.Build == what }) }
	home := filepath.Join(root, "bench", "peers")
	if needs(BuildJava) {
		src, built := filepath.Join(home, "java"), filepath.Join(home, "java", "target", "built")
		stale, err := newer(src, built)
		if err != nil {
			return err
		}
		if stale {
			log.Info("building the Java peers; the first time some 100 MB come from Maven Central")
			if err := runTool(ctx, src, "mvn", "-q", "-B", "package"); err != nil {
				return err
			}
			if err := os.WriteFile(built, nil, 0o644); err != nil {
				return err
			}
		}
	}
	if needs(BuildAndon) {
		log.Info("building Andon")
		for _, library := range []string{"libchdb.so", "libonnxruntime.so"} {
			if _, err := os.Stat(filepath.Join(root, "lib", library)); err != nil {
				return fmt.Errorf("%w: run make deps", err)
			}
		}
		if err := runTool(ctx, root, "go", "build", "-trimpath", "-o", filepath.Join(home, "target", "andon"), "."); err != nil {
			return err
		}
	}
	if needs(BuildBenthos) {
		log.Info("building Benthos; the first time takes a minute")
		if err := os.MkdirAll(filepath.Join(home, "target"), 0o755); err != nil {
			return err
		}
		return runTool(ctx, filepath.Join(home, "benthos"), "go", "build", "-trimpath", "-o", filepath.Join(home, "target", "benthos"), ".")
	}
	return nil
}

// newer says whether a source under dir is younger than the file mark, or mark is missing.
func newer(dir, mark string) (bool, error) {
	info, err := os.Stat(mark)
	var made time.Time
	if err == nil {
		made = info.ModTime()
	} else if !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	stale := false
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && d.Name() == "target" {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, ".java") && d.Name() != "pom.xml" {
			return nil
		}
		i, err := d.Info()
		if err != nil {
			return err
		}
		stale = stale || i.ModTime().After(made)
		return nil
	})
	return stale, err
}
