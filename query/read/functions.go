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
	ctx, rolled, err := r.figures(ctx, "invocations", within, a)
	if err != nil {
		return nil, err
	}
	query := "functions"
	if rolled {
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
			ColdRatio: float64(row.Cold) / float64(row.Invocations), Errors: row.Errors, LastSeen: row.LastSeen.UTC(),
		}
		for q, to := range []**float64{&f.P50MS, &f.P95MS, &f.P99MS} {
			if ns := float64(row.Quantiles[q]); !math.IsNaN(ns) {
				ms := Millis(time.Duration(ns))
				*to = &ms
			}
		}
		list.Functions = append(list.Functions, f)
	}
	return list, nil
}
