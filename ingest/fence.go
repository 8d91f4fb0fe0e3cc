package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
)

// fencesAtOnce bounds how many partitions are fenced at the same time: each is some round trips.
const fencesAtOnce = 8

// fence calls the Fencer for partitions that the group has just given to us. The group waits, so it has no longer than a partition has for its last flush.
//
// Whoever had a partition before may have a transaction open in which its commit waits for the end. Once he is shut out the commit is known for good, while the
// group would have us wait for the transaction's timeout.
func (s *session) fence(ctx context.Context, ids []int32) error {
	if s.in.fencer == nil || len(ids) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.in.cfg.RebalanceTimeout-2*s.in.cfg.Heartbeat)
	defer cancel()
	var (
		work  sync.WaitGroup
		mu    sync.Mutex
		errs  []error
		slots = make(chan struct{}, fencesAtOnce)
	)
	for _, id := range ids {
		work.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			if err := s.fenceOne(ctx, id); err != nil {
				mu.Lock()
				errs = append(errs, err)
				mu.Unlock()
			}
		})
	}
	work.Wait()
	err := errors.Join(errs...)
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrFenced) {
		return fmt.Errorf("%w: %w", errRejoin, err)
	}
	return err
}

func (s *session) fenceOne(ctx context.Context, id int32) error {
	f, err := s.in.fencer(ctx, s.in.source.Topic, id)
	if err != nil {
		return fmt.Errorf("shut out who had %s/%d before: %w", s.in.source.Topic, id, err)
	}
	s.mu.Lock()
	old := s.fences[id]
	s.fences[id] = f
	s.mu.Unlock()
	if old != nil {
		old.Close()
	}
	return nil
}

// fenced returns what fence made for a partition, nil without a Fencer. A partition that was lost while it was opened, and not to another member, has no fence any
// more and gets a new one.
func (s *session) fenced(ctx context.Context, id int32) (io.Closer, error) {
	if s.in.fencer == nil {
		return nil, nil
	}
	s.mu.Lock()
	f := s.fences[id]
	s.mu.Unlock()
	if f == nil {
		if err := s.fenceOne(ctx, id); err != nil {
			return nil, err
		}
		s.mu.Lock()
		f = s.fences[id]
		s.mu.Unlock()
	}
	return f, nil
}

// unfence closes the fences of partitions that were given up before they were open; nil means of all.
func (s *session) unfence(ids []int32) {
	s.mu.Lock()
	var closers []io.Closer
	take := func(id int32) {
		if f := s.fences[id]; f != nil {
			closers = append(closers, f)
			delete(s.fences, id)
		}
	}
	if ids == nil {
		for id := range s.fences {
			take(id)
		}
	}
	for _, id := range ids {
		take(id)
	}
	s.mu.Unlock()
	for _, f := range closers {
		f.Close()
	}
}
