package workload

import "testing"

// Texts as runtimes and registries write them.
func TestPullErrorClass(t *testing.T) {
	for text, want := range map[string]string{
		`failed to pull and unpack image "r/x:1": failed to resolve reference "r/x:1": r/x:1: not found`:                                        "not_found",
		`manifest for 127.0.0.1:5001/x:nope not found: manifest unknown: manifest unknown`:                                                      "not_found",
		`unexpected status from HEAD request to https://r/v2/x/manifests/1: 404 Not Found`:                                                      "not_found",
		`failed to authorize: failed to fetch oauth token: unexpected status from GET request to https://auth/token: 401 Unauthorized`:          "unauthorized",
		`Head "http://127.0.0.1:5003/v2/x/manifests/v1": unauthorized: authentication required`:                                                 "unauthorized",
		`pull access denied for x, repository does not exist or may require 'docker login': denied: requested access to the resource is denied`: "unauthorized",
		`unauthorized: token expired`: "credentials_expired",
		`denied: Your authorization token has expired. Reauthenticate and try again.`:                                  "credentials_expired",
		`429 Too Many Requests - toomanyrequests: You have reached your unauthenticated pull rate limit.`:              "rate_limited",
		`dial tcp: lookup registry.nowhere on 10.96.0.10:53: no such host`:                                             "dns",
		`tls: failed to verify certificate: x509: certificate signed by unknown authority`:                             "tls",
		`x509: certificate has expired or is not yet valid: current time 2026-11-24T00:00:00Z is after`:                "tls",
		`http: server gave HTTP response to HTTPS client`:                                                              "tls",
		`dial tcp 10.0.0.1:443: i/o timeout`:                                                                           "timeout",
		`rpc error: code = DeadlineExceeded desc = context deadline exceeded`:                                          "timeout",
		`dial tcp 10.0.0.1:443: connect: connection refused`:                                                           "network",
		`write /var/lib/containerd/x/ingest/abc/data: no space left on device`:                                         "no_space",
		`no match for platform in manifest: not found`:                                                                 "architecture",
		`no matching manifest for linux/arm64/v8 in the manifest list entries`:                                         "architecture",
		`Failed to apply default image tag "X:1": couldn't parse image name "X:1": invalid reference format`:           "reference",
		`Container image "x" is not present with pull policy of Never`:                                                 "never_pulled",
		`blob sha256:4290e401f8c4043a6f7e9c1d3b0a4f6c404b2d16e34010000000000000404aa is broken, 40400 bytes, v1.404.0`: "other",
		"": "other",
	} {
		if got := PullErrorClass(text); got != want {
			t.Errorf("%s: %s, not %s", text, got, want)
		}
	}
}
