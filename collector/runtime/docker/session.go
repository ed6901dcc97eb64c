package docker

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/client"
)

// errBehind ends a session whose events came faster than they could be dealt
// with. The next one goes on from where this one was.
var errBehind = errors.New("events came faster than they were dealt with")

// replay is how much earlier than its position a new Watcher asks for events:
// the creation of a container that was being started tells about its start.
const replay = time.Minute

// settleLists is how long after a list a container that is not on it may still
// have events under way that say how it ended.
const settleLists = 10 * time.Second

// filters keep exec's and health checks' events, of which there are many, on
// the daemon's side.
func filters() client.Filters {
	return make(client.Filters).
		Add("type", string(events.ContainerEventType), string(events.NetworkEventType)).
		Add("event", string(events.ActionCreate), string(events.ActionStart), string(events.ActionDie), string(events.ActionOOM),
			string(events.ActionKill), string(events.ActionDestroy), string(events.ActionConnect), string(events.ActionDisconnect))
}

// session watches over one connection. It returns when that ends.
func (w *Watcher) session(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := w.identify(ctx); err != nil {
		return err
	}
	queue, end := w.subscribe(ctx)
	defer func() {
		cancel()
		<-end.closed
	}()
	select { // what begins after this is told, so that the list can tell the rest
	case <-end.answered:
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := w.reconcile(ctx, queue); err != nil {
		return err
	}
	sweep := time.NewTimer(settleLists)
	defer sweep.Stop()
	again := time.NewTicker(reconcileEvery)
	defer again.Stop()
	for {
		select {
		case m, ok := <-queue:
			if !ok {
				<-end.closed
				return end.err
			}
			if err := w.dispatch(ctx, m); err != nil {
				return err
			}
		case <-again.C:
			if err := w.reconcile(ctx, queue); err != nil {
				return err
			}
			sweep.Reset(settleLists)
		case <-sweep.C:
			if err := w.sweep(ctx, queue); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// ending is how a subscription goes: the daemon's answer begins, and it is
// closed, with err.
type ending struct {
	answered chan struct{}
	closed   chan struct{}
	err      error
}

// subscribe reads events as fast as they come, since the daemon drops those
// that nobody takes: what cannot be kept ends the subscription instead. The
// queue is closed at its end.
func (w *Watcher) subscribe(ctx context.Context) (<-chan events.Message, *ending) {
	opts := client.EventsListOptions{Filters: filters()}
	if since := w.since(); !since.IsZero() {
		opts.Since = fmt.Sprintf("%d.%09d", since.Unix(), since.Nanosecond())
	}
	queue := make(chan events.Message, w.queue) // see queueLength
	end := &ending{answered: make(chan struct{}), closed: make(chan struct{})}
	go func() {
		defer close(end.closed)
		defer close(queue)
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		stream := w.api.Events(ctx, opts)
		close(end.answered)
		end.err = forward(stream, queue)
		cancel()
		for range stream.Err { // until its goroutine has ended
		}
	}()
	return queue, end
}

func forward(stream client.EventsResult, queue chan<- events.Message) error {
	for {
		select {
		case m := <-stream.Messages:
			select {
			case queue <- m:
			default:
				return errBehind
			}
		case err := <-stream.Err:
			return fmt.Errorf("read events: %w", err)
		}
	}
}

// since is where the daemon shall begin to tell events. What was dealt with
// already is recognized.
func (w *Watcher) since() time.Time {
	at := w.pos.get()
	switch {
	case at.IsZero():
		return time.Now().Add(-replay)
	case at.Equal(w.opts.Since):
		return at.Add(-replay)
	}
	return at
}

// message is what a shard gets: an event, a container on a list, or the order
// to give up those that were on no list.
type message struct {
	event      *events.Message
	taken      *taken // of event
	listed     *container.Summary
	generation uint64 // of the list
}

func (w *Watcher) dispatch(ctx context.Context, e events.Message) error {
	id := e.Actor.ID
	if e.Type == events.NetworkEventType {
		id = e.Actor.Attributes["container"]
		if id == "" || (e.Action != events.ActionConnect && e.Action != events.ActionDisconnect) {
			return nil
		}
	}
	at := time.Unix(0, e.TimeNano)
	if e.Type == events.ContainerEventType && e.Action == events.ActionCreate {
		w.recent.add(id, e.Actor.Attributes["image"], at)
	}
	return w.shardOf(id).send(ctx, message{event: &e, taken: w.pos.take(at), generation: w.generation})
}

func (w *Watcher) shardOf(id string) *shard {
	return w.shards[maphash.String(w.seed, id)%shards]
}

// reconcile lists all containers and has the shards look at those whose state
// is news to them. Events that came until then go first: they know more.
func (w *Watcher) reconcile(ctx context.Context, queue <-chan events.Message) error {
	w.generation++
	call, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	list, err := w.api.ContainerList(call, client.ContainerListOptions{All: true})
	if err != nil {
		return fmt.Errorf("list containers: %w", err)
	}
	if err := w.drain(ctx, queue); err != nil {
		return err
	}
	// The newest comes first.
	for n := len(list.Items) - 1; n >= 0; n-- {
		c := &list.Items[n]
		if err := w.shardOf(c.ID).send(ctx, message{listed: c, generation: w.generation}); err != nil {
			return err
		}
	}
	return nil
}

// drain dispatches what is in the queue now.
func (w *Watcher) drain(ctx context.Context, queue <-chan events.Message) error {
	for range len(queue) {
		m, ok := <-queue
		if !ok {
			return nil
		}
		if err := w.dispatch(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

// sweep has the shards give up the containers that were not on the last list.
func (w *Watcher) sweep(ctx context.Context, queue <-chan events.Message) error {
	if err := w.drain(ctx, queue); err != nil {
		return err
	}
	for _, s := range w.shards {
		if err := s.send(ctx, message{generation: w.generation}); err != nil {
			return err
		}
	}
	return nil
}
