package scf

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// What a signature consists of.
const (
	algorithm       = "TC3-HMAC-SHA256"
	scopeEnd        = "tc3_request"
	headerTimestamp = "X-TC-Timestamp"
	headerContent   = "X-TC-Content-SHA256"
	unsignedPayload = "UNSIGNED-PAYLOAD"
)

// maxSkew is how far the sender's clock may be from ours.
const maxSkew = 5 * time.Minute

// authorization is the header of that name:
//
//	TC3-HMAC-SHA256 Credential=ID/2019-02-25/scf/tc3_request, SignedHeaders=content-type;host, Signature=HEX
type authorization struct {
	secretID, date, service string
	signed                  []string // headers, in lower case
	signature               []byte
}

func parseAuthorization(header string) (*authorization, error) {
	wrong := func(why string) error {
		return fault(authInvalidAuthorization, "the Authorization header %s: want %s Credential=ID/DATE/SERVICE/%s, SignedHeaders=content-type;host, Signature=HEX", why, algorithm, scopeEnd)
	}
	rest, ok := strings.CutPrefix(strings.TrimSpace(header), algorithm+" ")
	if !ok {
		return nil, wrong("does not begin with " + algorithm)
	}
	a := &authorization{}
	for part := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch name {
		case "Credential":
			scope := strings.Split(value, "/")
			if len(scope) != 4 || scope[3] != scopeEnd {
				return nil, wrong("has no whole Credential")
			}
			a.secretID, a.date, a.service = scope[0], scope[1], scope[2]
		case "SignedHeaders":
			a.signed = strings.Split(strings.ToLower(value), ";")
		case "Signature":
			var err error
			if a.signature, err = hex.DecodeString(value); err != nil {
				return nil, wrong("has a Signature that is not hexadecimal")
			}
		}
	}
	switch {
	case a.secretID == "":
		return nil, wrong("has no Credential")
	case len(a.signature) != sha256.Size:
		return nil, wrong("has no whole Signature")
	case !slices.Contains(a.signed, "content-type") || !slices.Contains(a.signed, "host"):
		return nil, wrong("does not sign content-type and host")
	}
	return a, nil
}

// claim is what a request's headers say of who has signed it.
type claim struct {
	*authorization
	key       *key
	timestamp string
}

// claim says whose key r claims to be signed with, from its headers alone: of
// who names no key, the body is not read.
func (k *Keys) claim(r *http.Request, now time.Time) (*claim, error) {
	headers := r.Header.Values("Authorization")
	if len(headers) != 1 {
		return nil, fault(authInvalidAuthorization, "want one Authorization header, there are %d", len(headers))
	}
	a, err := parseAuthorization(headers[0])
	if err != nil {
		return nil, err
	}
	timestamp := r.Header.Get(headerTimestamp)
	if timestamp == "" {
		return nil, fault(missingParameter, "the header %s is missing", headerTimestamp)
	}
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil {
		return nil, fault(invalidParameter, "the header %s is no count of seconds since 1970", headerTimestamp)
	}
	at := time.Unix(seconds, 0).UTC()
	if skew := now.Sub(at); skew > maxSkew || skew < -maxSkew || a.date != at.Format(time.DateOnly) {
		return nil, fault(authSignatureExpire, "the signature is of %s UTC, and it is %s: they may be five minutes apart, and the date in the Credential must be the same", at.Format(time.DateTime), now.UTC().Format(time.DateTime))
	}
	found := k.file.Value().bySecretID[a.secretID]
	switch {
	case found == nil, !found.expires.IsZero() && !now.Before(found.expires):
		return nil, fault(authSecretIDNotFound, "there is no key of this SecretId, or no more")
	case r.Header.Get("X-TC-Token") != "":
		return nil, fault(authTokenFailure, "this key is no temporary one: send no token with it")
	}
	return &claim{a, found, timestamp}, nil
}

// verify is an error unless the key has signed r, which has the body.
func (c *claim) verify(r *http.Request, body []byte) error {
	scope := c.date + "/" + c.service + "/" + scopeEnd
	secret := signingKey(c.key.secretKey, c.date, c.service)
	for _, request := range canonical(r, c.signed, body) {
		sum := sha256.Sum256([]byte(request))
		if hmac.Equal(c.signature, mac(secret, algorithm+"\n"+c.timestamp+"\n"+scope+"\n"+hex.EncodeToString(sum[:]))) {
			return nil
		}
	}
	return fault(authSignatureFailure, "the signature is not that of this request and this SecretId's key")
}

func signingKey(secretKey, date, service string) []byte {
	return mac(mac(mac([]byte("TC3"+secretKey), date), service), scopeEnd)
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

// canonical is what the sender of r may have signed. The SDKs differ: some sign
// the host without its port, and the values as they are sent, where the
// reference has lower case.
func canonical(r *http.Request, signed []string, body []byte) []string {
	query := ""
	if r.Method == http.MethodGet {
		query = r.URL.RawQuery
	}
	payload := sha256.Sum256(body)
	if r.Header.Get(headerContent) == unsignedPayload {
		payload = sha256.Sum256([]byte(unsignedPayload))
	}
	hosts := []string{r.Host}
	if host, _, err := net.SplitHostPort(r.Host); err == nil {
		hosts = append(hosts, host)
	}
	var all []string
	for _, host := range hosts {
		for _, lower := range []bool{false, true} {
			var headers strings.Builder
			for _, name := range signed {
				value := strings.TrimSpace(r.Header.Get(name))
				if name == "host" {
					value = host
				}
				if lower {
					value = strings.ToLower(value)
				}
				headers.WriteString(name + ":" + value + "\n")
			}
			all = append(all, r.Method+"\n/\n"+query+"\n"+headers.String()+"\n"+strings.Join(signed, ";")+"\n"+hex.EncodeToString(payload[:]))
		}
	}
	return slices.Compact(all)
}
