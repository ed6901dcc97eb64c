package workload

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/coldscope/coldscope/internal/faas"
)

// Options say which containers run functions and what these are called: the
// collector's section `mapping`. The zero value knows the usual platforms.
type Options struct {
	// Presets are the rules that are tried, in this order; the first that fits
	// a container wins. Known are coldscope (dev.coldscope.* labels), template
	// (all of Templates), knative, openfaas, scf, fission, nuclio, kubernetes
	// (every other pod outside kube-system and its like) and docker (every
	// container outside pods). Default: all but docker.
	Presets []string `yaml:"presets"`
	// Templates are rules of one's own, tried in their order.
	Templates []Template `yaml:"templates"`
	// Tenant owns what does not say whose it is. Default "default".
	Tenant string `yaml:"tenant"`
}

// Template is one rule: which containers it is for, and patterns for the names.
// In a pattern a placeholder in braces stands for a fact of the container, or
// for the first that there is of several: {label.team|annotation.team|'nobody'}.
// What is in single quotes stands for itself; {{ and }} are plain braces. A
// pattern of which a placeholder has no value has none itself. The facts:
//
//	label.KEY annotation.KEY                     of the container, else of its pod
//	pod.namespace pod.name pod.uid
//	pod.revision                                 pod.name without the container's name before it and the replica's suffix behind it
//	container.name container.id container.short_id
//	image image.repository image.name image.tag image.digest image.short_digest
type Template struct {
	// Match is a label selector: k=v, k!=v, k, !k, k in (a, b), k notin (a, b),
	// all of which must hold, between commas. A key is a fact's name, else a
	// label; one without a value counts as missing. Default: every container.
	Match string `yaml:"match"`
	// Function has to have a value, else the rule does not fit.
	Function string `yaml:"function"`
	// Namespace is {pod.namespace} by default.
	Namespace string `yaml:"namespace"`
	// Version is {image.tag|image.short_digest} by default.
	Version string `yaml:"version"`
	// Instance is {pod.uid|container.id} by default. It must be what the
	// platform calls the instance in its events, if it sends any.
	Instance string `yaml:"instance"`
	// Tenant is {label.dev.coldscope.tenant|annotation.dev.coldscope.tenant} by
	// default, and the options' tenant where that has no value.
	Tenant string `yaml:"tenant"`
}

// presetTemplate is where Options.Templates have their place among the presets.
const presetTemplate = "template"

// maxNameBytes is the longest name, a tenant's aside.
const maxNameBytes = 256

// WithDefaults gives the options that are used where o has none.
func (o Options) WithDefaults() Options {
	if o.Presets == nil {
		o.Presets = []string{
			"coldscope", presetTemplate, "knative", "openfaas", "scf", "fission", "nuclio", "kubernetes",
		}
	}
	if o.Tenant == "" {
		o.Tenant = faas.DefaultTenant
	}
	return o
}

// Validate tells all that is wrong with o, nil if nothing is.
func (o Options) Validate() error {
	_, err := NewMapper(o)
	return err
}

// Mapper says whose a container is. It is safe for concurrent use.
type Mapper struct {
	rules  []rule
	tenant string
}

// rule is a compiled Template.
type rule struct {
	name                                           string // for errors
	match                                          selector
	tenant, namespace, function, version, instance pattern
}

// NewMapper compiles o. The error tells all that is wrong with it.
func NewMapper(o Options) (*Mapper, error) {
	o = o.WithDefaults()
	m := &Mapper{tenant: o.Tenant}
	var errs []error
	if err := faas.CheckTenant(o.Tenant); err != nil {
		errs = append(errs, fmt.Errorf("mapping.tenant: %w", err))
	}
	if len(o.Templates) > 0 && !slices.Contains(o.Presets, presetTemplate) {
		errs = append(errs, fmt.Errorf("mapping.templates: mapping.presets does not list %q, so they would never be used", presetTemplate))
	}
	for i, name := range o.Presets {
		key := fmt.Sprintf("mapping.presets[%d]", i)
		if slices.Contains(o.Presets[:i], name) {
			errs = append(errs, fmt.Errorf("%s: %q is listed twice", key, name))
			continue
		}
		if name == presetTemplate {
			continue // below, where an error has the template's own key
		}
		if _, ok := presets[name]; !ok {
			errs = append(errs, fmt.Errorf("%s: unknown preset %q (known: %s)", key, name, strings.Join(presetNames(), ", ")))
		}
	}
	templates := make([]rule, 0, len(o.Templates))
	for i, t := range o.Templates {
		r, err := compile(fmt.Sprintf("mapping.templates[%d]", i), t)
		if err != nil {
			errs = append(errs, err)
		}
		templates = append(templates, r)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	for _, name := range o.Presets {
		if name == presetTemplate {
			m.rules = append(m.rules, templates...)
			continue
		}
		r, err := compile("preset "+name, presets[name])
		if err != nil {
			return nil, err
		}
		m.rules = append(m.rules, r)
	}
	return m, nil
}

// compile reads a template's patterns, all of them, under their keys.
func compile(key string, t Template) (rule, error) {
	r := rule{name: key}
	var errs []error
	var err error
	if r.match, err = parseSelector(t.Match); err != nil {
		errs = append(errs, fmt.Errorf("%s.match: %w", key, err))
	}
	if t.Function == "" {
		errs = append(errs, fmt.Errorf("%s.function: a pattern is needed", key))
	}
	for _, f := range []struct {
		name, text, otherwise string
		into                  *pattern
	}{
		{"tenant", t.Tenant, "{label.dev.coldscope.tenant|annotation.dev.coldscope.tenant}", &r.tenant},
		{"namespace", t.Namespace, "{pod.namespace}", &r.namespace},
		{"function", t.Function, "", &r.function},
		{"version", t.Version, "{image.tag|image.short_digest}", &r.version},
		{"instance", t.Instance, "{pod.uid|container.id}", &r.instance},
	} {
		text := f.text
		if text == "" {
			text = f.otherwise
		}
		if *f.into, err = parsePattern(text); err != nil {
			errs = append(errs, fmt.Errorf("%s.%s: %w", key, f.name, err))
		}
	}
	return r, errors.Join(errs...)
}

// ErrNobody says that no rule fits a container.
var ErrNobody = errors.New("no rule of the mapping fits the container")

// Ref says whose c is; false if nobody wants it.
func (m *Mapper) Ref(c *Container) (faas.Ref, bool) {
	ref, err := m.Resolve(c)
	return ref, err == nil
}

// Resolve is Ref with the reason: ErrNobody, or what is wrong with the names
// that the first fitting rule gives.
func (m *Mapper) Resolve(c *Container) (faas.Ref, error) {
	f, ok := factsOf(c)
	if !ok {
		return faas.Ref{}, ErrNobody
	}
	for i := range m.rules {
		r := &m.rules[i]
		if !r.match.matches(&f) {
			continue
		}
		ref := faas.Ref{Function: r.function.value(&f)}
		if ref.Function == "" {
			continue
		}
		ref.Tenant, ref.Namespace = r.tenant.value(&f), r.namespace.value(&f)
		ref.Version, ref.Instance = r.version.value(&f), r.instance.value(&f)
		if ref.Tenant == "" {
			ref.Tenant = m.tenant
		}
		if err := check(&ref); err != nil {
			return faas.Ref{}, fmt.Errorf("map container %s by %s: %w", f.c.ID, r.name, err)
		}
		return ref, nil
	}
	return faas.Ref{}, ErrNobody
}

func check(ref *faas.Ref) error {
	if ref.Instance == "" {
		return errors.New("instance: no value")
	}
	if err := faas.CheckTenant(ref.Tenant); err != nil {
		return fmt.Errorf("tenant: %w", err)
	}
	for _, f := range []struct{ name, value string }{
		{"namespace", ref.Namespace},
		{"function", ref.Function},
		{"version", ref.Version},
		{"instance", ref.Instance},
	} {
		switch {
		case len(f.value) > maxNameBytes:
			return fmt.Errorf("%s: %d bytes are too long, at most %d", f.name, len(f.value), maxNameBytes)
		case !utf8.ValidString(f.value):
			return fmt.Errorf("%s: %q is not UTF-8", f.name, f.value)
		case strings.ContainsFunc(f.value, unicode.IsControl):
			return fmt.Errorf("%s: %q has control characters", f.name, f.value)
		}
	}
	return nil
}

func isAlphanumeric(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}
