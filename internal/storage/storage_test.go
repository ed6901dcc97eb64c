package storage_test

import (
	"strings"
	"testing"
	"time"

	"github.com/coldscope/coldscope/internal/storage"
)

func TestRetention(t *testing.T) {
	type classes = map[string]storage.Class
	many := classes{}
	for name := range strings.FieldsSeq("a b c d e f g h i") {
		many[name] = storage.Class{Days: 1}
	}
	for _, c := range []struct {
		name string
		r    storage.Retention
		want storage.Class // of tenant t
		says string
	}{
		{"nothing said", storage.Retention{}, storage.Class{Days: 30, RollupDays: 365}, ""},
		{"years", storage.Retention{Days: 900}, storage.Class{Days: 900, RollupDays: 900}, ""},
		{"for ever", storage.Retention{Days: -1}, storage.Class{Days: -1, RollupDays: -1}, ""},
		{"of a class", storage.Retention{Classes: classes{"c": {Days: 3}}, Tenants: map[string]string{"t": "c"}}, storage.Class{Days: 3, RollupDays: 365}, ""},
		{"longer class", storage.Retention{Classes: classes{"c": {Days: 500}}, Tenants: map[string]string{"t": "c"}}, storage.Class{Days: 500, RollupDays: 500}, ""},
		{"of another", storage.Retention{Classes: classes{"c": {Days: 3}}, Tenants: map[string]string{"u": "c"}}, storage.Class{Days: 30, RollupDays: 365}, ""},
		{"unknown class", storage.Retention{Tenants: map[string]string{"t": "c"}}, storage.Class{}, "retention.tenants.t: "},
		{"negative", storage.Retention{Days: -2}, storage.Class{}, "retention.days: "},
		{"figures shorter", storage.Retention{Days: 10, RollupDays: 5}, storage.Class{}, "retention.rollup_days: "},
		{"class's figures shorter", storage.Retention{Classes: classes{"c": {Days: 5, RollupDays: 2}}}, storage.Class{}, "retention.classes.c.rollup_days: "},
		{"too many", storage.Retention{Classes: many}, storage.Class{}, "retention.classes: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := c.r.Validate()
			switch {
			case c.says == "" && err != nil, c.says != "" && (err == nil || !strings.HasPrefix(err.Error(), c.says)):
				t.Errorf("Validate = %v, want %q", err, c.says)
			case c.says == "" && c.r.Class("t") != c.want:
				t.Errorf("Class = %+v, want %+v", c.r.Class("t"), c.want)
			}
		})
	}
}

func TestCutoff(t *testing.T) {
	now := time.Date(2026, 5, 20, 0, 30, 0, 0, time.FixedZone("", 3600)) // still the 19th in UTC
	if got := storage.Cutoff(2, now); !got.Equal(time.Date(2026, 5, 17, 0, 0, 0, 0, time.UTC)) {
		t.Error(got)
	}
	if got := storage.Cutoff(storage.Forever, now); !got.IsZero() {
		t.Error(got)
	}
}

func TestTiering(t *testing.T) {
	for says, tier := range map[string]storage.Tiering{
		"":                                 {AfterDays: 3, Endpoint: "https://s3.example/bucket/", AccessKeyID: "k", SecretAccessKeyFile: "/f"},
		"tiering.after_days":               {AfterDays: -1},
		"tiering.path":                     {Path: "cold"},
		"tiering.endpoint: there":          {Path: "/cold", Endpoint: "https://s3.example/bucket/"},
		"tiering.endpoint: \"s3":           {Endpoint: "s3://bucket/"},
		"tiering.endpoint: \"https":        {Endpoint: "https://s3.example/bucket"},
		"tiering.secret_access_key_file: ": {Path: "/cold", AccessKeyID: "k"},
	} {
		if err := tier.Validate(); (err == nil) != (says == "") || err != nil && !strings.HasPrefix(err.Error(), says) {
			t.Errorf("%+v: %v, want %q", tier, err, says)
		}
	}
}
