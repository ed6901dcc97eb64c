package api

import (
	"context"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/query/diagnose"
	"github.com/coldscope/coldscope/query/read"
)

func (a *API) registerStarts() {
	huma.Register(a.huma, operation("get-cold-starts", "/coldstarts", "Cold starts",
		"How long cold starts took, as a whole and by phase, and what they waited for."), a.coldStarts)
	huma.Register(a.huma, operation("get-cold-start-history", "/coldstarts/history", "Cold starts over time",
		"How long finished starts and their phases took, by steps of time."), a.startHistory)
	huma.Register(a.huma, operation("get-cold-start-distributions", "/coldstarts/distributions", "Cold starts by what they have in common",
		"Percentiles and histograms of how long finished starts and their phases took, by version, digest, host, hour and others."), a.distributions)
	huma.Register(a.huma, operation("compare-cold-starts", "/coldstarts/compare", "Two selections of cold starts",
		"Two selections of finished starts side by side, phase by phase: a version with another, a digest with another, this hour with yesterday's."), a.compare)
	huma.Register(a.huma, operation("list-instances", "/instances", "Instances",
		"Instances with how they were started, how they ended and what they handled; each life of one that came back by itself. With sort=start, the slowest cold starts. Pass next_cursor as cursor to read on."), a.instances)
	huma.Register(a.huma, operation("list-images", "/images", "Images",
		"The images that were started: their size, how often they were pulled, what was on the hosts already, and how much time that took."), a.images)
	huma.Register(a.huma, operation("list-layers", "/layers", "Layers",
		"The layers that starts needed: their size, how often they were pulled, how often they were on the host already, and how much time that took."), a.layers)
}

// StartFilter says which starts are meant. It is exported for huma, as Owner is.
type StartFilter struct {
	Namespace      string              `query:"namespace" maxLength:"512"`
	Function       string              `query:"function" maxLength:"512" doc:"The function's name without its namespace"`
	Version        string              `query:"version" maxLength:"512"`
	Digest         string              `query:"digest" maxLength:"512" doc:"Only starts of this image"`
	Host           string              `query:"host" maxLength:"512"`
	Instance       string              `query:"instance" maxLength:"512"`
	Initialization faas.Initialization `query:"initialization" enum:"on-demand,provisioned"`
	Span
}

// filter is the filter as of now; Resolve has checked it.
func (in *StartFilter) filter(now time.Time) read.StartFilter {
	return read.StartFilter{
		Namespace: in.Namespace, Function: in.Function, Version: in.Version, Digest: in.Digest, Host: in.Host, Instance: in.Instance,
		Initialization: in.Initialization, Range: in.within(now),
	}
}

type coldStartsInput struct {
	Owner
	StartFilter
	Limit int `query:"limit" minimum:"1" maximum:"1000" default:"10" doc:"How many starts each of the lists slowest and recent holds"`
}

func (a *API) coldStarts(ctx context.Context, in *coldStartsInput) (*body[*read.ColdStartStats], error) {
	starts, truncated, err := a.reader.ColdStarts(ctx, in.id(ctx), in.filter(a.now()))
	if err != nil {
		return nil, a.problem(ctx, err)
	}
	return &body[*read.ColdStartStats]{diagnose.Summarize(starts, truncated, in.Limit)}, nil
}

type startsHistoryInput struct {
	HistoryInput
	Digest string `query:"digest" maxLength:"512" doc:"Only starts of this image"`
}

func (a *API) startHistory(ctx context.Context, in *startsHistoryInput) (*body[[]read.StartHistory], error) {
	f := in.filter(a.now())
	f.Digest = in.Digest
	history, err := a.reader.StartHistory(ctx, in.id(ctx), f)
	if err != nil {
		return nil, a.problem(ctx, err)
	}
	return &body[[]read.StartHistory]{history}, nil
}

type distributionsInput struct {
	Owner
	StartFilter
	By string `query:"by" enum:"function,version,digest,host,initialization,registry,region,hour" doc:"What starts of one group have in common; absent: all starts are one. Each group has its total and its phases"`
}

func (a *API) distributions(ctx context.Context, in *distributionsInput) (*body[*read.StartDistributionList], error) {
	all, truncated, err := a.reader.StartDistributions(ctx, in.id(ctx), in.filter(a.now()), in.By)
	if err != nil {
		return nil, a.problem(ctx, err)
	}
	return &body[*read.StartDistributionList]{&read.StartDistributionList{Distributions: all, Truncated: truncated}}, nil
}

type compareInput struct {
	Owner
	StartFilter
	AVersion string `query:"a_version" maxLength:"512" doc:"Of selection a, where it is another one than version says; the same goes for all others that begin so"`
	ADigest  string `query:"a_digest" maxLength:"512"`
	AHost    string `query:"a_host" maxLength:"512"`
	ASince   string `query:"a_since" maxLength:"64"`
	AUntil   string `query:"a_until" maxLength:"64"`
	BVersion string `query:"b_version" maxLength:"512"`
	BDigest  string `query:"b_digest" maxLength:"512"`
	BHost    string `query:"b_host" maxLength:"512"`
	BSince   string `query:"b_since" maxLength:"64"`
	BUntil   string `query:"b_until" maxLength:"64"`
}

// sides are the two selections.
func (in *compareInput) sides() (a, b StartFilter) {
	a, b = in.StartFilter, in.StartFilter
	for _, side := range []struct {
		to                                *StartFilter
		version, digest, host, from, till string
	}{{&a, in.AVersion, in.ADigest, in.AHost, in.ASince, in.AUntil}, {&b, in.BVersion, in.BDigest, in.BHost, in.BSince, in.BUntil}} {
		for _, set := range []struct {
			to    *string
			value string
		}{
			{&side.to.Version, side.version},
			{&side.to.Digest, side.digest},
			{&side.to.Host, side.host},
			{&side.to.Since, side.from},
			{&side.to.Until, side.till},
		} {
			if set.value != "" {
				*set.to = set.value
			}
		}
	}
	return a, b
}

// Resolve reports what of the input cannot be read.
func (in *compareInput) Resolve(ctx huma.Context) []error {
	a, b := in.sides()
	return append(a.Resolve(ctx), b.Resolve(ctx)...)
}

func (a *API) compare(ctx context.Context, in *compareInput) (*body[*read.StartComparison], error) {
	one, other := in.sides()
	comparison, err := a.reader.CompareStarts(ctx, in.id(ctx), one.filter(a.now()), other.filter(a.now()))
	if err != nil {
		return nil, a.problem(ctx, err)
	}
	return &body[*read.StartComparison]{comparison}, nil
}

type instancesInput struct {
	Owner
	StartFilter
	States []string `query:"state" maxItems:"4" enum:"starting,ready,stopped,failed" doc:"Separated by commas"`
	Sort   string   `query:"sort" enum:"time,start" default:"time" doc:"time: the newest first; start: those first that took longest to start"`
	Limit  int      `query:"limit" minimum:"1" maximum:"1000" default:"100"`
	Cursor string   `query:"cursor" maxLength:"4096" doc:"Where to read on: next_cursor of the answer before, with the same filters and sort"`
}

// Resolve reports what of the input cannot be read.
func (in *instancesInput) Resolve(ctx huma.Context) []error {
	errs := in.StartFilter.Resolve(ctx)
	if in.Cursor != "" {
		_, err := read.ParseInstanceCursor(in.Cursor, in.Sort == "start")
		errs = refuse(errs, "query.cursor", in.Cursor, err)
	}
	return errs
}

func (a *API) instances(ctx context.Context, in *instancesInput) (*body[*read.InstanceList], error) {
	q := read.InstanceQuery{StartFilter: in.filter(a.now()), States: in.States, Slowest: in.Sort == "start", Limit: in.Limit}
	if in.Cursor != "" {
		q.After, _ = read.ParseInstanceCursor(in.Cursor, q.Slowest) // Resolve has checked it
	}
	list, err := a.reader.Instances(ctx, in.id(ctx), q, a.now())
	if err != nil {
		return nil, a.problem(ctx, err)
	}
	return &body[*read.InstanceList]{list}, nil
}

type imagesInput struct {
	Owner
	StartFilter
}

func (a *API) images(ctx context.Context, in *imagesInput) (*body[*read.ImageList], error) {
	list, err := a.reader.Images(ctx, in.id(ctx), in.filter(a.now()))
	if err != nil {
		return nil, a.problem(ctx, err)
	}
	return &body[*read.ImageList]{list}, nil
}

func (a *API) layers(ctx context.Context, in *imagesInput) (*body[*read.LayerList], error) {
	list, err := a.reader.ImageLayers(ctx, in.id(ctx), in.filter(a.now()))
	if err != nil {
		return nil, a.problem(ctx, err)
	}
	return &body[*read.LayerList]{list}, nil
}
