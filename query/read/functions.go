package read

import (
	"context"
	"math"
	"time"
)

const maxFunctions = 1000

type functionRow struct {
	Namespace   string    `ch:"namespace"`
	Function    string    `ch:"function"`
	Invocations uint64    `ch:"invocations"`
	Cold        uint64    `ch:"cold_count"`
	Errors      uint64    `ch:"errors"`
	Quantiles   []float32 `ch:"quantiles"`
	LastSeen    time.Time `ch:"last_seen"`
}

// Functions sums up each function's invocations in a time range.
func (r *Reader) Functions(ctx context.Context, tenant string, within Range) (*FunctionList, error) {
	a := args{"tenant": tenant, "limit": maxFunctions + 1}
	ctx, of, err := r.figures(ctx, "invocations", within, a)
	if err != nil {
		return nil, err
	}
	query := "functions"
	if of.Figures {
		query = "functions_rolled"
	}
	rows, err := selectRows[functionRow](ctx, r, query, maxFunctions+1, a)
	if err != nil {
		return nil, err
	}
	list := &FunctionList{Functions: make([]Function, 0, len(rows))}
	for i := range rows {
		if i == maxFunctions {
			list.Truncated = true
			break
		}
		row := &rows[i]
		f := Function{
			Namespace: row.Namespace, Function: row.Function, Invocations: row.Invocations, Cold: row.Cold,
			ColdRatio: ratio(row.Cold, row.Invocations), Errors: row.Errors, ErrorRatio: ratio(row.Errors, row.Invocations), LastSeen: row.LastSeen.UTC(),
		}
		quantiles(row.Quantiles, &f.P50MS, &f.P95MS, &f.P99MS)
		list.Functions = append(list.Functions, f)
	}
	return list, nil
}

func ratio(part, whole uint64) float64 {
	if whole == 0 {
		return 0
	}
	return float64(part) / float64(whole)
}

// quantiles puts nanoseconds that the store gave where there are any.
func quantiles(ns []float32, to ...**float64) {
	for q := range to {
		if v := float64(ns[q]); !math.IsNaN(v) {
			ms := Millis(time.Duration(v))
			*to[q] = &ms
		}
	}
}

const maxVersions = 1000

// FunctionVersions sums up what each version of a function did, and which
// images its starts had.
func (r *Reader) FunctionVersions(ctx context.Context, tenant, namespace, function string, within Range) (*FunctionVersionList, error) {
	a := args{"tenant": tenant, "namespace": namespace, "function": function, "limit": maxVersions}
	figures, _, err := r.figures(ctx, "invocations", within, a)
	if err != nil {
		return nil, err
	}
	rows, err := selectRows[struct {
		Version     string    `ch:"version"`
		Invocations uint64    `ch:"invocations"`
		Cold        uint64    `ch:"cold_count"`
		Errors      uint64    `ch:"errors"`
		Quantiles   []float32 `ch:"quantiles"`
		FirstSeen   time.Time `ch:"first_seen"`
		LastSeen    time.Time `ch:"last_seen"`
	}](figures, r, "function_versions", maxVersions, a)
	if err != nil {
		return nil, err
	}
	digests, err := selectRows[struct {
		Version   string     `ch:"version"`
		Digest    string     `ch:"digest"`
		Starts    uint64     `ch:"starts"`
		FirstSeen *time.Time `ch:"first_seen"`
		LastSeen  *time.Time `ch:"last_seen"`
	}](ctx, r, "function_digests", maxVersions, a)
	if err != nil {
		return nil, err
	}
	list := &FunctionVersionList{Versions: make([]FunctionVersion, 0, len(rows))}
	index := map[string]int{}
	version := func(name string) *FunctionVersion {
		n, ok := index[name]
		if !ok {
			n = len(list.Versions)
			index[name] = n
			list.Versions = append(list.Versions, FunctionVersion{Version: name, Digests: []FunctionDigest{}})
		}
		return &list.Versions[n]
	}
	for i := range rows {
		row, v := &rows[i], version(rows[i].Version)
		v.Invocations, v.Cold, v.Errors = row.Invocations, row.Cold, row.Errors
		v.ColdRatio, v.ErrorRatio = ratio(row.Cold, row.Invocations), ratio(row.Errors, row.Invocations)
		v.FirstSeen, v.LastSeen = utc(&row.FirstSeen), utc(&row.LastSeen)
		quantiles(row.Quantiles, &v.P50MS, &v.P95MS, &v.P99MS)
	}
	for i := range digests {
		row, v := &digests[i], version(digests[i].Version)
		v.Digests = append(v.Digests, FunctionDigest{row.Digest, row.Starts, value(utc(row.FirstSeen)), value(utc(row.LastSeen))})
	}
	return list, nil
}
