package main

import (
	"context"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/grafana/loki/pkg/push"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/wire"
	"github.com/coldscope/coldscope/test/loss/rig"
)

// load is what is sent, and how much of it was acknowledged.
type load struct {
	url                    string
	lines, requests, again atomic.Uint64
}

func newLoad(url string) *load { return &load{url: url} }

// Each push has so many requests, of so many lines each.
const (
	pushRequests = 50
	requestLines = 10
)

// send pushes the requests of an instance, one after another, until harm ends;
// what is under way then it still brings. It sends again until it is taken.
func (l *load) send(ctx, harm context.Context, n int) error {
	client, err := wire.NewClient(l.url)
	if err != nil {
		return err
	}
	defer client.Close()
	i := instance{ref: faas.Ref{Namespace: "chaos", Function: "f" + strconv.Itoa(n), Version: "1", Instance: "instance-" + strconv.Itoa(n)}}
	for harm.Err() == nil {
		req, err := i.push()
		if err != nil {
			return err
		}
		for {
			try, cancel := context.WithTimeout(ctx, 30*time.Second)
			err := client.Push(try, faas.DefaultTenant, req)
			cancel()
			if err == nil {
				break
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
			l.again.Add(1)
			if err := rig.Wait(ctx, 200*time.Millisecond); err != nil {
				return err
			}
		}
		l.lines.Add(pushRequests * requestLines)
		l.requests.Add(pushRequests)
		if err := rig.Wait(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// instance serves one request after another.
type instance struct {
	ref    faas.Ref
	served int
	offset uint64
	clock  time.Time
}

func (i *instance) push() (*push.PushRequest, error) {
	if now := time.Now(); now.After(i.clock) {
		i.clock = now
	}
	tick := func() time.Time {
		i.clock = i.clock.Add(10 * time.Microsecond)
		return i.clock
	}
	lines := push.Stream{Labels: wire.StreamLabels(i.ref, faas.Stdout, "host")}
	events := push.Stream{Labels: wire.StreamLabels(faas.Ref{}, faas.Platform, "")}
	event := func(at time.Time, id string, d faas.Data) error {
		raw, err := wire.EncodeEvent(&faas.Event{ID: id, Source: "chaos", Time: at, Ref: i.ref, Data: d})
		events.Entries = append(events.Entries, push.Entry{Timestamp: at, Line: string(raw)})
		return err
	}
	for range pushRequests {
		i.served++
		id := fmt.Sprintf("request-%s-%d", i.ref.Instance, i.served)
		started := tick()
		if err := event(started, id+"-started", faas.InvocationStarted{RequestID: id}); err != nil {
			return nil, err
		}
		for n := range requestLines {
			i.offset += 100
			lines.Entries = append(lines.Entries, push.Entry{
				Timestamp: tick(), Line: fmt.Sprintf("of %s line %d", id, n), StructuredMetadata: wire.Position(1, i.offset),
			})
		}
		if err := event(tick(), id+"-ended", faas.InvocationEnded{RequestID: id, StartedAt: started, Status: faas.StatusOK}); err != nil {
			return nil, err
		}
	}
	return &push.PushRequest{Streams: []push.Stream{lines, events}}, nil
}
