package workload

import "strings"

// pullErrors are what registries, runtimes and the network's functions write
// when an image cannot be had, most telling first: a text may have several.
// Sources: containerd's and Docker's resolvers, distribution's error codes
// (docs/spec/api.md), Go's net and crypto/x509, errno texts.
var pullErrors = []struct {
	class string
	texts []string
}{
	{"no_space", []string{"no space left on device", "disk quota exceeded"}},
	{"rate_limited", []string{"toomanyrequests", "too many requests", "429", "pull rate limit", "pull qps exceeded"}},
	{"credentials_expired", []string{"token expired", "token has expired", "expired token", "is expired", "credentials have expired", "credentials expired", "authorization token has expired"}},
	{"tls", []string{"x509:", "tls: ", "certificate signed by unknown authority", "server gave http response to https client", "remote error: tls"}},
	{"architecture", []string{"no match for platform", "no matching manifest for", "exec format error", "does not match the specified platform"}},
	{"unauthorized", []string{"unauthorized", "401", "403", "forbidden", "access denied", "access to the resource is denied", "authentication required", "no basic auth credentials", "insufficient_scope", "authorization failed"}},
	{"not_found", []string{"manifest unknown", "name unknown", "not found", "404", "does not exist", "repository_unknown"}},
	{"dns", []string{"no such host", "server misbehaving", "temporary failure in name resolution", "lookup "}},
	{"timeout", []string{"i/o timeout", "deadline exceeded", "timeout exceeded", "timed out", "handshake timeout", "context canceled", "no progress"}},
	{"network", []string{"connection refused", "connection reset", "no route to host", "network is unreachable", "broken pipe", "unexpected eof"}},
	{"reference", []string{"invalidimagename", "invalid reference format", "couldn't parse image", "failed to apply default image tag"}},
	{"never_pulled", []string{"errimageneverpull", "pull policy of never"}},
}

// PullErrorClass tells from a runtime's or registry's text why an image could
// not be pulled: no_space, rate_limited, credentials_expired, tls,
// architecture, unauthorized, not_found, dns, timeout, network, reference,
// never_pulled, else other. It is what phases carry as attribute error_class.
func PullErrorClass(text string) string {
	text = strings.ToLower(text)
	for _, e := range pullErrors {
		for _, t := range e.texts {
			if containsText(text, t) {
				return e.class
			}
		}
	}
	return "other"
}

// containsText finds t in s; a status code only where it stands alone, not
// inside a digest or a size.
func containsText(s, t string) bool {
	number := strings.Trim(t, "0123456789") == ""
	for from := 0; ; {
		i := strings.Index(s[from:], t)
		if i < 0 {
			return false
		}
		i += from
		if !number || !wordAt(s, i-1) && !wordAt(s, i+len(t)) {
			return true
		}
		from = i + 1
	}
}

func wordAt(s string, i int) bool {
	return i >= 0 && i < len(s) && (isAlphanumeric(s[i]) || s[i] == '.')
}
