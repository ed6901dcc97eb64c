// Package storage says how long the store keeps a tenant's data, and when it
// moves to a cheaper place: settings alone, without the store.
package storage

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"path/filepath"
	"slices"
	"time"
)

// Defaults and bounds of the settings.
const (
	defaultDays       = 30
	defaultRollupDays = 365
	maxDays           = 36_500
	maxClasses        = 8
	// Forever as a number of days keeps data for ever.
	Forever = -1
)

// Retention is for how many days data is kept. A day ends at midnight UTC;
// its data goes within some hours after it is due. What is changed here counts
// for data that is stored already, too. A retention without classes has one for
// all tenants.
//
//	retention:
//	  days: 30
//	  classes:
//	    short: {days: 3}
//	  tenants:
//	    playground: short
type Retention struct {
	// Days is how long lines, invocations and starts are kept; -1 is for ever. Default 30.
	Days int `yaml:"days"`
	// RollupDays is how long figures by the minute are kept; -1 is for ever. Default 365.
	RollupDays int `yaml:"rollup_days"`
	// Classes are other lengths by name, at most 8, each with days and
	// rollup_days; what one leaves out is as above.
	Classes map[string]Class `yaml:"classes"`
	// Tenants are those that are of a class, with its name.
	Tenants map[string]string `yaml:"tenants"`
}

// Class is how long the data of some tenants is kept.
type Class struct {
	Days       int `yaml:"days"`
	RollupDays int `yaml:"rollup_days"`
}

// Validate reports all that is wrong, each beginning with its key below retention.
func (r *Retention) Validate() error {
	errs := checkClass("retention", r.fallback())
	if len(r.Classes) > maxClasses {
		errs = append(errs, fmt.Errorf("retention.classes: %d classes are too many: at most %d, since each costs work on every day's data", len(r.Classes), maxClasses))
	}
	for _, name := range slices.Sorted(maps.Keys(r.Classes)) {
		errs = append(errs, checkClass("retention.classes."+name, r.complete(r.Classes[name]))...)
	}
	for _, tenant := range slices.Sorted(maps.Keys(r.Tenants)) {
		if _, ok := r.Classes[r.Tenants[tenant]]; !ok {
			errs = append(errs, fmt.Errorf("retention.tenants.%s: there is no class %q", tenant, r.Tenants[tenant]))
		}
	}
	return errors.Join(errs...)
}

func checkClass(key string, c Class) (errs []error) {
	for name, days := range map[string]int{"days": c.Days, "rollup_days": c.RollupDays} {
		if days != Forever && (days < 1 || days > maxDays) {
			errs = append(errs, fmt.Errorf("%s.%s: %d: want 1 to %d days, or -1 for ever", key, name, days, maxDays))
		}
	}
	if len(errs) == 0 && c.RollupDays != Forever && (c.Days == Forever || c.RollupDays < c.Days) {
		errs = append(errs, fmt.Errorf("%s.rollup_days: %d: figures are kept at least as long as what they are made of", key, c.RollupDays))
	}
	return errs
}

// fallback is the class of tenants that have none.
func (r *Retention) fallback() Class {
	c := Class{Days: cmp.Or(r.Days, defaultDays), RollupDays: r.RollupDays}
	if c.RollupDays == 0 {
		c.RollupDays = max(defaultRollupDays, c.Days)
		if c.Days == Forever {
			c.RollupDays = Forever
		}
	}
	return c
}

// Class gives a tenant's class.
func (r *Retention) Class(tenant string) Class {
	c, ok := r.Classes[r.Tenants[tenant]]
	if !ok {
		return r.fallback()
	}
	return r.complete(c)
}

// complete fills in what a class leaves out.
func (r *Retention) complete(c Class) Class {
	c.Days = cmp.Or(c.Days, r.fallback().Days)
	if c.RollupDays == 0 {
		c.RollupDays = r.fallback().RollupDays
		if c.Days == Forever || c.RollupDays != Forever && c.RollupDays < c.Days {
			c.RollupDays = c.Days
		}
	}
	return c
}

// All gives every class there is, the one of tenants without a class first.
func (r *Retention) All() []Class {
	all := []Class{r.fallback()}
	for _, name := range slices.Sorted(maps.Keys(r.Classes)) {
		all = append(all, r.complete(r.Classes[name]))
	}
	return all
}

// Cutoff is the midnight before which data that is kept for days is due at
// the time now; the zero time where it is kept for ever.
func Cutoff(days int, now time.Time) time.Time {
	if days == Forever {
		return time.Time{}
	}
	return now.UTC().Truncate(24*time.Hour).AddDate(0, 0, -days)
}

// Tiering is about moving older data to another disk or to S3. Without path and endpoint
// nothing moves. The store may not start any more without what it has moved, so
// a place that was given stays.
type Tiering struct {
	// AfterDays is the age at which data moves. Default 7.
	AfterDays int `yaml:"after_days"`
	// Path is a directory on the other disk, absolute.
	Path string `yaml:"path"`
	// Endpoint is the URL of an S3 bucket, and of a folder in it, ending in a slash.
	Endpoint string `yaml:"endpoint"`
	// AccessKeyID and SecretAccessKeyFile are the credentials for S3, the secret
	// in a file. Without them the machine's own are used.
	AccessKeyID         string `yaml:"access_key_id"`
	SecretAccessKeyFile string `yaml:"secret_access_key_file"`
	// Region is that of the bucket.
	Region string `yaml:"region"`
}

// On says whether anything moves.
func (t *Tiering) On() bool { return t.Path != "" || t.Endpoint != "" }

// Days is the age at which data moves.
func (t *Tiering) Days() int { return cmp.Or(t.AfterDays, 7) }

// Validate reports all that is wrong, each beginning with its key.
func (t *Tiering) Validate() error {
	var errs []error
	if t.AfterDays < 0 || t.AfterDays > maxDays {
		errs = append(errs, fmt.Errorf("tiering.after_days: %d: want 1 to %d days", t.AfterDays, maxDays))
	}
	if t.Path != "" && t.Endpoint != "" {
		errs = append(errs, errors.New("tiering.endpoint: there is a path already: data moves to one place"))
	}
	if t.Path != "" && !filepath.IsAbs(t.Path) {
		errs = append(errs, fmt.Errorf("tiering.path: %s is not absolute", t.Path))
	}
	if t.Endpoint != "" {
		if u, err := url.Parse(t.Endpoint); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.Path == "" || u.Path[len(u.Path)-1] != '/' {
			errs = append(errs, fmt.Errorf("tiering.endpoint: %q: want the URL of a bucket or a folder in one, ending in a slash", t.Endpoint))
		}
	}
	if (t.AccessKeyID == "") != (t.SecretAccessKeyFile == "") {
		errs = append(errs, errors.New("tiering.secret_access_key_file: access_key_id and secret_access_key_file go together"))
	}
	return errors.Join(errs...)
}
