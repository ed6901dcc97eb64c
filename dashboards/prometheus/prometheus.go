// Package prometheus is Coldscope's recording rules and alerts for Prometheus,
// with their unit tests and an example of a configuration that uses them.
package prometheus

import (
	_ "embed"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
)

//go:embed rules.yml
var rules []byte

// Rules gives the rules file.
func Rules() []byte { return slices.Clone(rules) }

// ruleFile is a rules file as far as this package reads it.
type ruleFile struct {
	Groups []struct {
		Name     string `yaml:"name"`
		Interval string `yaml:"interval"`
		Rules    []rule `yaml:"rules"`
	} `yaml:"groups"`
}

type rule struct {
	Record      string            `yaml:"record"`
	Alert       string            `yaml:"alert"`
	Expr        string            `yaml:"expr"`
	For         string            `yaml:"for"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
}

func parse(raw []byte) ([]rule, error) {
	var f ruleFile
	if err := yaml.UnmarshalWithOptions(raw, &f, yaml.Strict()); err != nil {
		return nil, fmt.Errorf("parse rules: %w", err)
	}
	var all []rule
	for _, g := range f.Groups {
		all = append(all, g.Rules...)
	}
	return all, nil
}

var (
	selector = regexp.MustCompile(`\{[^{}]*\}`)
	metric   = regexp.MustCompile(`[a-zA-Z_:][a-zA-Z0-9_:]*`)
)

// MetricNames lists, sorted, the metric families that the rules read from
// Coldscope: the names as a registry gathers them, so a histogram's once and
// without _bucket, _sum and _count. What rules record is not among them.
func MetricNames() ([]string, error) {
	all, err := parse(rules)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, r := range all {
		for _, name := range metric.FindAllString(selector.ReplaceAllString(r.Expr, ""), -1) {
			if strings.HasPrefix(name, "coldscope_") {
				for _, suffix := range []string{"_bucket", "_sum", "_count"} {
					name = strings.TrimSuffix(name, suffix)
				}
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}
