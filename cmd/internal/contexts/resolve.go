package contexts

import "strings"

// Flags are what the command line says; empty for what it does not.
type Flags struct {
	Context, URL, Tenant, TokenFile, CAFile string
}

// Target is what a command asks, put together from flags, the environment and
// the file. Name is empty if no context has a part in it.
type Target struct {
	Context
	// From says of url, tenant, token and ca_file where each is from: a flag, a
	// variable, or a context. What is not set is not in it.
	From map[string]string
}

// layer is one place that settings come from.
type layer struct {
	Context
	names map[string]string // as in Target.From
}

// Resolve puts a target together: flags win over the environment
// (COLDSCOPE_URL, COLDSCOPE_TENANT, COLDSCOPE_TOKEN, COLDSCOPE_TOKEN_FILE,
// COLDSCOPE_CA_FILE, COLDSCOPE_CONTEXT), which wins over the current context,
// and whatever is left is default.
//
// A context that the command line names wins over the environment. And no
// context's token goes to another Coldscope by accident: a URL that is not the
// current context's is taken alone, unless a context is named beside it.
func (f *File) Resolve(flags Flags, getenv func(string) string, fallback string) (*Target, error) {
	layers := []layer{{
		Context{URL: flags.URL, Tenant: flags.Tenant, TokenFile: flags.TokenFile, CAFile: flags.CAFile},
		map[string]string{"url": "--url", "tenant": "--tenant", "token": "--token-file", "ca_file": "--ca-file"},
	}}
	name, named := flags.Context, flags.Context != ""
	if !named {
		layers = append(layers, environment(getenv))
		if name = getenv("COLDSCOPE_CONTEXT"); name != "" {
			named = true
		} else {
			name = f.Current
		}
	}
	url := ""
	for i := range layers {
		if url == "" {
			url = layers[i].URL
		}
	}
	var context *Context
	if name != "" {
		if context = f.Get(name); context == nil {
			return nil, f.missing(name)
		}
		if !named && url != "" && !samePlace(url, context.URL) {
			context = nil
		}
	}
	t := &Target{From: map[string]string{}}
	if context != nil {
		t.Name = context.Name
		from := "context " + context.Name
		layers = append(layers, layer{*context, map[string]string{"url": from, "tenant": from, "token": from, "ca_file": from}})
	}
	layers = append(layers, layer{Context{URL: fallback}, map[string]string{"url": "default"}})
	for i := range layers {
		t.take(&layers[i])
	}
	return t, nil
}

func environment(getenv func(string) string) layer {
	l := layer{
		Context{URL: getenv("COLDSCOPE_URL"), Tenant: getenv("COLDSCOPE_TENANT"), CAFile: getenv("COLDSCOPE_CA_FILE"), TokenFile: getenv("COLDSCOPE_TOKEN_FILE")},
		map[string]string{"url": "COLDSCOPE_URL", "tenant": "COLDSCOPE_TENANT", "ca_file": "COLDSCOPE_CA_FILE", "token": "COLDSCOPE_TOKEN_FILE"},
	}
	if l.TokenFile == "" {
		l.Token = getenv("COLDSCOPE_TOKEN")
		l.names["token"] = "COLDSCOPE_TOKEN"
	}
	return l
}

// take fills what is still open from the next layer.
func (t *Target) take(l *layer) {
	fill := func(key, value string, into *string) {
		if *into == "" && value != "" {
			*into, t.From[key] = value, l.names[key]
		}
	}
	fill("url", l.URL, &t.URL)
	fill("tenant", l.Tenant, &t.Tenant)
	fill("ca_file", l.CAFile, &t.CAFile)
	if t.Token == "" && t.TokenFile == "" && t.TokenCommand == "" && (l.Token != "" || l.TokenFile != "" || l.TokenCommand != "") {
		t.Token, t.TokenFile, t.TokenCommand = l.Token, l.TokenFile, l.TokenCommand
		t.From["token"] = l.names["token"]
	}
}

func samePlace(a, b string) bool {
	return strings.TrimRight(a, "/") == strings.TrimRight(b, "/")
}
