package read

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"strconv"
	"strings"
	"time"
)

// InstanceQuery asks for lives of instances: the newest first, or those first
// that took longest to start.
type InstanceQuery struct {
	StartFilter
	States  []string // starting, ready, stopped, failed
	Slowest bool
	After   *InstanceCursor
	Limit   int // at least 1
}

// states are the SQL of the states.
var states = map[string]string{
	"starting": "(ready_at IS NULL AND stopped_at IS NULL)",
	"ready":    "(ready_at IS NOT NULL AND stopped_at IS NULL)",
	"stopped":  "(ready_at IS NOT NULL AND stopped_at IS NOT NULL)",
	"failed":   "(ready_at IS NULL AND stopped_at IS NOT NULL)",
}

// InstanceCursor is a place in a list of instances.
type InstanceCursor struct {
	begun                         int64
	namespace, function, instance string
	life                          uint64
	slowest                       bool
	took                          int64
}

// String gives the cursor as ParseInstanceCursor takes it.
func (c InstanceCursor) String() string {
	parts := []string{strconv.FormatInt(c.begun, 36), c.namespace, c.function, c.instance, strconv.FormatUint(c.life, 36)}
	if c.slowest {
		parts = append(parts, strconv.FormatInt(c.took, 36))
	}
	b, _ := json.Marshal(parts) // strings always encode
	return base64.RawURLEncoding.EncodeToString(b)
}

// ParseInstanceCursor reads what String wrote for a list in that order. The
// error is ErrCursor.
func ParseInstanceCursor(s string, slowest bool) (*InstanceCursor, error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil {
		return nil, ErrCursor
	}
	var parts []string
	if json.Unmarshal(b, &parts) != nil || len(parts) != 5 && len(parts) != 6 || slowest != (len(parts) == 6) {
		return nil, ErrCursor
	}
	c := &InstanceCursor{namespace: parts[1], function: parts[2], instance: parts[3], slowest: slowest}
	if c.begun, err = strconv.ParseInt(parts[0], 36, 64); err != nil || c.begun < 0 {
		return nil, ErrCursor
	}
	if c.life, err = strconv.ParseUint(parts[4], 36, 32); err != nil {
		return nil, ErrCursor
	}
	if slowest {
		if c.took, err = strconv.ParseInt(parts[5], 36, 64); err != nil {
			return nil, ErrCursor
		}
	}
	return c, nil
}

type instanceRow struct {
	startRow
	MemoryPeak *int64    `ch:"memory_peak"`
	CPUTimeNS  *int64    `ch:"cpu_time_ns"`
	BegunAt    time.Time `ch:"begun_at"`
	Took       int64     `ch:"took"`
}

func (r *instanceRow) cursor(slowest bool) InstanceCursor {
	return InstanceCursor{nanos(r.BegunAt), r.Namespace, r.Function, r.Instance, uint64(r.Life), slowest, r.Took}
}

func (r *instanceRow) instance() Instance {
	s := r.coldStart()
	i := Instance{
		Namespace: s.Namespace, Function: s.Function, Version: s.Version, Instance: s.Instance, Life: s.Life, Host: s.Host,
		Initialization: s.Initialization, RequestID: s.RequestID, DemandedAt: s.DemandedAt, ReadyAt: s.ReadyAt, StoppedAt: s.StoppedAt,
		StopReason: s.StopReason, ExitCode: s.ExitCode, OOM: s.OOM, Image: s.Image, Digest: s.Digest, MemoryLimit: s.MemoryLimit,
		MemoryPeak: r.MemoryPeak, CPUTimeMS: millis(r.CPUTimeNS), State: "starting",
	}
	switch {
	case s.ReadyAt != nil && s.StoppedAt != nil:
		i.State = "stopped"
	case s.ReadyAt != nil:
		i.State = "ready"
	case s.StoppedAt != nil:
		i.State = "failed"
	}
	if r.Took >= 0 {
		i.StartMS = millis(&r.Took)
	}
	return i
}

// Instances lists lives of instances with what they handled.
func (r *Reader) Instances(ctx context.Context, tenant string, q InstanceQuery, now time.Time) (*InstanceList, error) {
	rows, err := r.instances(ctx, tenant, q)
	if err != nil {
		return nil, err
	}
	list := &InstanceList{Instances: make([]Instance, 0, min(len(rows), q.Limit))}
	if len(rows) > q.Limit {
		rows = rows[:q.Limit]
		list.NextCursor = rows[q.Limit-1].cursor(q.Slowest).String()
	}
	if len(rows) == 0 {
		return list, nil
	}
	var names []string
	since := lastNanosecond
	for i := range rows {
		names = append(names, rows[i].Instance)
		if rows[i].BegunAt.Before(since) {
			since = rows[i].BegunAt
		}
		list.Instances = append(list.Instances, rows[i].instance())
	}
	handled, err := selectRows[struct {
		Namespace string    `ch:"namespace"`
		Function  string    `ch:"function"`
		Instance  string    `ch:"instance"`
		Requests  uint64    `ch:"requests"`
		Errors    uint64    `ch:"errors"`
		Open      uint64    `ch:"open"`
		Last      time.Time `ch:"last"`
	}](ctx, r, "handled", maxGroups, args{
		"tenant": tenant, "instances": names, "since": nanos(since.Add(-preamble)), "until": nanos(now.Add(longest)), "limit": maxGroups,
	})
	if err != nil {
		return nil, err
	}
	type key struct{ namespace, function, instance string }
	of := map[key]int{}
	for n := range handled {
		of[key{handled[n].Namespace, handled[n].Function, handled[n].Instance}] = n
	}
	for n := range list.Instances {
		i := &list.Instances[n]
		if at, ok := of[key{i.Namespace, i.Function, i.Instance}]; ok {
			h := &handled[at]
			i.Requests, i.Errors, i.Open, i.LastActiveAt = h.Requests, h.Errors, h.Open, utc(&h.Last)
		}
	}
	return list, nil
}

func (r *Reader) instances(ctx context.Context, tenant string, q InstanceQuery) ([]instanceRow, error) {
	within := q.Range
	q.Range = Range{}
	c := q.conditions()
	c.within("coalesce(demanded_at, ready_at, stopped_at)", within)
	var wanted []string
	for _, s := range q.States {
		if sql, ok := states[s]; ok {
			wanted = append(wanted, sql)
		}
	}
	if len(wanted) > 0 {
		c.list = append(c.list, "("+strings.Join(wanted, " OR ")+")")
	}
	if at := q.After; at != nil {
		behind := "(begun_at, namespace, function, instance, life) < (fromUnixTimestamp64Nano({:Int64}, 'UTC'), {:String}, {:String}, {:String}, {:UInt32})"
		if q.Slowest {
			c.add("(took < {:Int64} OR took = {:Int64} AND "+behind+")", at.took, at.took, at.begun, at.namespace, at.function, at.instance, at.life)
		} else {
			c.add(behind, at.begun, at.namespace, at.function, at.instance, at.life)
		}
	}
	return selectWhere[instanceRow](ctx, r, "instances", struct {
		where
		Slowest bool
	}{where{c.list}, q.Slowest}, q.Limit+1, with(args{"tenant": tenant, "limit": q.Limit + 1}, c.args))
}
