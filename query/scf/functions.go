package scf

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/coldscope/coldscope/query/read"
)

// maxFunctions is the largest Limit of ListFunctions.
const maxFunctions = 1000

type listFunctionsRequest struct {
	Order, Orderby string
	Offset, Limit  *number
	SearchKey      string
	Namespace      string
	Description    string
	Filters        []struct {
		Name   string
		Values []string
	}
}

type functionList struct {
	Functions  []function
	TotalCount int
	RequestID  string `json:"RequestId"`
}

// function is what is known of one, and what holds for each that Coldscope
// sees: it is a container image's, and active.
type function struct {
	ModTime, AddTime string
	Runtime          string
	FunctionName     string
	Namespace        string
	Status           string
	Type             string
}

// What holds for each function.
const (
	runtimeImage = "CustomImage"
	statusActive = "Active"
)

// functionOrders are the values of Orderby.
var functionOrders = map[string]func(a, b *read.KnownFunction) int{
	"AddTime":      func(a, b *read.KnownFunction) int { return a.Added.Compare(b.Added) },
	"ModTime":      func(a, b *read.KnownFunction) int { return a.Changed.Compare(b.Changed) },
	"FunctionName": func(a, b *read.KnownFunction) int { return strings.Compare(a.Name, b.Name) },
}

func (a *API) listFunctions(ctx context.Context, c *call) (any, error) {
	var req listFunctionsRequest
	if err := c.decode(&req); err != nil {
		return nil, err
	}
	offset, limit, err := page(req.Offset, req.Limit, invalidLimit)
	if err != nil {
		return nil, err
	}
	if limit > maxFunctions {
		return nil, fault(invalidLimit, "Limit is %d, at most %d", limit, maxFunctions)
	}
	asc, err := ascending(req.Order)
	if err != nil {
		return nil, err
	}
	less := functionOrders[cmp.Or(req.Orderby, "AddTime")]
	if less == nil {
		return nil, fault(invalidOrderBy, "Orderby %q is none of AddTime, ModTime, FunctionName", req.Orderby)
	}
	if req.Description != "" {
		return nil, fault(invalidParameterValue, "Coldscope knows no descriptions of functions to search")
	}
	for _, filter := range req.Filters {
		if functionFilters[filter.Name] == nil {
			return nil, fault(invalidParameterValue, "Coldscope does not know %q of functions: filter by Runtime, Status or Type", filter.Name)
		}
	}
	namespace := cmp.Or(req.Namespace, defaultNamespace)
	known, err := a.reader.KnownFunctions(ctx, c.tenant, namespace)
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(known, func(x, y read.KnownFunction) int {
		if asc {
			return less(&x, &y)
		}
		return less(&y, &x)
	})
	list := []function{}
	for i := range known {
		if f := newFunction(&known[i], namespace); req.fits(&f) {
			list = append(list, f)
		}
	}
	total := len(list)
	list = list[min(offset, total):min(offset+limit, total)]
	return &functionList{Functions: list, TotalCount: total, RequestID: uuid.NewString()}, nil
}

func newFunction(k *read.KnownFunction, namespace string) function {
	kind := "Event"
	if k.Trigger == "http" {
		kind = "HTTP"
	}
	return function{
		ModTime: formatTime(k.Changed), AddTime: formatTime(k.Added), Runtime: runtimeImage,
		FunctionName: k.Name, Namespace: namespace, Status: statusActive, Type: kind,
	}
}

// functionFilters are what functions can be filtered by.
var functionFilters = map[string]func(*function) string{
	"Runtime":      func(f *function) string { return f.Runtime },
	"Status":       func(f *function) string { return f.Status },
	"Type":         func(f *function) string { return f.Type },
	"FunctionType": func(f *function) string { return f.Type },
}

// fits reports whether the search key and all filters do.
func (req *listFunctionsRequest) fits(f *function) bool {
	if !strings.Contains(strings.ToLower(f.FunctionName), strings.ToLower(req.SearchKey)) {
		return false
	}
	for _, filter := range req.Filters {
		if !slices.Contains(filter.Values, functionFilters[filter.Name](f)) {
			return false
		}
	}
	return true
}
