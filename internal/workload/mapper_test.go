package workload

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coldscope/coldscope/internal/conf"
	"github.com/coldscope/coldscope/internal/faas"
)

const (
	uid         = "5f1c7e0a-3d5b-4c57-9d53-0a5b1d7e2f11"
	imageDigest = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
)

func id(c string) string { return strings.Repeat(c, 64) }

// Containers as their platforms label them.
func TestPresets(t *testing.T) {
	knativePod := Pod{
		Namespace: "shop", Name: "cart-00007-deployment-6b8f6c7d9-x2x4z", UID: uid,
		Labels: map[string]string{
			"app": "cart-00007", "pod-template-hash": "6b8f6c7d9", "serving.knative.dev/configuration": "cart",
			"serving.knative.dev/configurationGeneration": "7", "serving.knative.dev/revision": "cart-00007",
			"serving.knative.dev/revisionUID": "4d0a", "serving.knative.dev/service": "cart",
		},
	}
	for _, tc := range []struct {
		name    string
		presets []string // nil: the default ones
		c       Container
		want    faas.Ref // without a function: nobody's
	}{
		{
			name: "coldscope labels on a Docker container",
			c: Container{ID: id("a"), Name: "web", Labels: map[string]string{
				LabelTenant: "acme", LabelNamespace: "ns", LabelFunction: "f", LabelVersion: "v", LabelInstance: "i",
			}},
			want: faas.Ref{Tenant: "acme", Namespace: "ns", Function: "f", Version: "v", Instance: "i"},
		},
		{
			name: "coldscope label alone",
			c:    Container{ID: id("a"), Name: "web", Labels: map[string]string{LabelFunction: "f"}},
			want: faas.Ref{Tenant: "default", Function: "f", Instance: id("a")},
		},
		{
			name: "coldscope annotations on a pod win over Knative's labels",
			c: Container{ID: id("b"), Name: "user-container", Pod: Pod{
				Namespace: "shop", Name: "p", UID: uid, Labels: knativePod.Labels,
				Annotations: map[string]string{LabelFunction: "checkout", LabelTenant: "acme"},
			}},
			want: faas.Ref{Tenant: "acme", Namespace: "shop", Function: "checkout", Instance: uid},
		},
		{
			name: "coldscope labels on a pod are not its sidecar's",
			c: Container{ID: id("b"), Name: "istio-proxy", Pod: Pod{
				Namespace: "shop", Name: "p", UID: uid, Labels: map[string]string{LabelFunction: "checkout"},
			}},
		},
		{
			name: "knative",
			c:    Container{ID: id("c"), Name: "user-container", Image: "registry.example/cart@" + imageDigest, Pod: knativePod},
			want: faas.Ref{Tenant: "default", Namespace: "shop", Function: "cart", Version: "cart-00007", Instance: uid},
		},
		{
			name: "knative's queue-proxy",
			c:    Container{ID: id("c"), Name: "queue-proxy", Image: "gcr.io/knative-releases/queue@" + imageDigest, Pod: knativePod},
		},
		{
			name: "knative, known by the runtime's labels only",
			c: Container{
				ID: id("c"), Name: "k8s_user-container_cart", Annotations: map[string]string{},
				Labels: map[string]string{
					"io.kubernetes.pod.name": knativePod.Name, "io.kubernetes.pod.namespace": "shop",
					"io.kubernetes.pod.uid": uid, "io.kubernetes.container.name": "user-container",
					"serving.knative.dev/revision": "cart-00007",
				},
			},
			want: faas.Ref{Tenant: "default", Namespace: "shop", Function: "cart-00007", Version: "cart-00007", Instance: uid},
		},
		{
			name: "openfaas",
			c: Container{ID: id("d"), Name: "figlet", Image: "ghcr.io/openfaas/figlet:0.13.2", Pod: Pod{
				Namespace: "openfaas-fn", Name: "figlet-6f9c5d8b7c-9xkqz", UID: uid,
				Labels: map[string]string{
					"faas_function": "figlet", "pod-template-hash": "6f9c5d8b7c", "uid": "843124129",
					"com.openfaas.scale.min": "1",
				},
			}},
			want: faas.Ref{Tenant: "default", Namespace: "openfaas-fn", Function: "figlet", Version: "0.13.2", Instance: uid},
		},
		{
			name: "openfaas on Swarm, pinned by digest",
			c: Container{
				ID: id("d"), Name: "figlet.1.x0", Image: "ghcr.io/openfaas/figlet@" + imageDigest,
				Labels: map[string]string{"com.openfaas.function": "figlet"},
			},
			want: faas.Ref{Tenant: "default", Function: "figlet", Version: "9f86d081884c", Instance: id("d")},
		},
		{
			name: "scf, by its log service's names",
			c: Container{
				ID: id("e"), Name: "fn", Image: "ccr.ccs.tencentyun.com/ns/img:v3",
				Labels: map[string]string{
					"SCF_FunctionName": "thumb", "SCF_Namespace": "media", "SCF_Qualifier": "3", "InstanceId": "ins-1",
				},
			},
			want: faas.Ref{Tenant: "default", Namespace: "media", Function: "thumb", Version: "3", Instance: "ins-1"},
		},
		{
			name: "scf, by its environment's names",
			c: Container{ID: id("e"), Annotations: map[string]string{
				"SCF_FUNCTIONNAME": "thumb",
			}},
			want: faas.Ref{Tenant: "default", Namespace: "default", Function: "thumb", Version: "$LATEST", Instance: id("e")},
		},
		{
			name: "scf, by its API's names",
			c: Container{ID: id("e"), Labels: map[string]string{
				"FunctionName": "thumb", "Namespace": "media", "Qualifier": "$DEFAULT",
			}},
			want: faas.Ref{Tenant: "default", Namespace: "media", Function: "thumb", Version: "$DEFAULT", Instance: id("e")},
		},
		{
			name: "fission's specialised pool pod",
			c: Container{ID: id("f"), Name: "python", Image: "ghcr.io/fission/python-env:1.34", Pod: Pod{
				Namespace: "fission-function", Name: "poolmgr-python-default-1-7c9d5f8b6-abcde", UID: uid,
				Labels: map[string]string{
					"environmentName": "python", "executorType": "poolmgr", "functionName": "hello", "functionNamespace": "default", "managed": "false",
				},
			}},
			want: faas.Ref{Tenant: "default", Namespace: "default", Function: "hello", Version: "1.34", Instance: uid},
		},
		{
			name: "nuclio",
			c: Container{ID: id("f"), Name: "nuclio", Image: "registry/processor-echo:7", Pod: Pod{
				Namespace: "nuclio", Name: "nuclio-echo-5d8f7b9c6d-hq2lz", UID: uid,
				Labels: map[string]string{
					"nuclio.io/app": "functionres", "nuclio.io/class": "function", "nuclio.io/function-name": "echo",
					"nuclio.io/function-version": "latest", "nuclio.io/project-name": "default",
				},
			}},
			want: faas.Ref{Tenant: "default", Namespace: "nuclio", Function: "echo", Version: "7", Instance: uid},
		},
		{
			name: "any pod, recommended labels",
			c: Container{ID: id("1"), Name: "app", Image: "registry:5000/team/cart", Digest: imageDigest, Pod: Pod{
				Namespace: "shop", Name: "cart-7d9f8b6c5-x2x4z", UID: uid,
				Labels: map[string]string{"app.kubernetes.io/name": "cart", "app.kubernetes.io/version": "1.2.3"},
			}},
			want: faas.Ref{Tenant: "default", Namespace: "shop", Function: "cart", Version: "1.2.3", Instance: uid},
		},
		{
			name: "any pod, no labels, no tag",
			c: Container{ID: id("1"), Name: "app", Image: "registry:5000/team/cart", Digest: imageDigest, Pod: Pod{
				Namespace: "shop", Name: "cart-0", UID: uid,
			}},
			want: faas.Ref{Tenant: "default", Namespace: "shop", Function: "app", Version: "9f86d081884c", Instance: uid},
		},
		{
			name: "a pod of Kubernetes itself",
			c:    Container{ID: id("1"), Name: "coredns", Pod: Pod{Namespace: "kube-system", Name: "coredns-1", UID: uid}},
		},
		{
			name: "a pod's sandbox",
			c: Container{ID: id("1"), Labels: map[string]string{
				"io.cri-containerd.kind": "sandbox", LabelFunction: "f", "io.kubernetes.pod.uid": uid,
			}},
		},
		{
			name: "a plain container is nobody's by default",
			c:    Container{ID: id("2"), Name: "postgres", Image: "postgres:16"},
		},
		{
			name: "a plain container when asked for", presets: []string{"docker"},
			c:    Container{ID: id("2"), Name: "postgres", Image: "postgres:16"},
			want: faas.Ref{Tenant: "default", Function: "postgres", Version: "16", Instance: id("2")},
		},
		{
			name: "a Compose service", presets: []string{"coldscope", "docker"},
			c: Container{
				ID: id("2"), Name: "shop-db-1", Image: "postgres@" + imageDigest,
				Labels: map[string]string{
					"com.docker.compose.project": "shop", "com.docker.compose.service": "db", "com.docker.compose.container-number": "1",
				},
			},
			want: faas.Ref{Tenant: "default", Namespace: "shop", Function: "db", Version: "9f86d081884c", Instance: id("2")},
		},
		{
			name: "a pod's container is no plain one", presets: []string{"docker"},
			c: Container{ID: id("2"), Name: "app", Pod: Pod{Namespace: "shop", Name: "p", UID: uid}},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m, err := NewMapper(Options{Presets: tc.presets})
			if err != nil {
				t.Fatal(err)
			}
			got, ok := m.Ref(&tc.c)
			if diff := cmp.Diff(tc.want, got); diff != "" || ok != (tc.want.Function != "") {
				t.Errorf("%v %s", ok, diff)
			}
		})
	}
}

func TestTemplates(t *testing.T) {
	m, err := NewMapper(Options{
		Presets: []string{"template"}, Tenant: "fallback",
		Templates: []Template{
			{
				Match:     "tier in (fn, batch), !legacy, container.name!=helper, pod.namespace notin (dev)",
				Namespace: "{label.team|annotation.team|'nobody'}-{pod.namespace}", Function: "{{{image.name}}}",
				Version: "{label.v|image.short_digest}", Tenant: "{annotation.owner}",
			},
			{Match: "tier==none", Function: "{label.name}"},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	pod := Pod{Namespace: "prod", Name: "p", UID: uid, Labels: map[string]string{"tier": "fn"}}
	c := Container{ID: id("a"), Name: "app", Image: "r:5000/x/resize:2@" + imageDigest, Pod: pod, Annotations: map[string]string{"team": "red", "owner": "acme"}}
	want := faas.Ref{Tenant: "acme", Namespace: "red-prod", Function: "{resize}", Version: "9f86d081884c", Instance: uid}
	if got, ok := m.Ref(&c); !ok || got != want {
		t.Errorf("%v %+v", ok, got)
	}
	c.Annotations = nil
	want.Tenant, want.Namespace = "fallback", "nobody-prod"
	if got, ok := m.Ref(&c); !ok || got != want {
		t.Errorf("%v %+v", ok, got)
	}
	for what, change := range map[string]func(*Container){
		"legacy": func(c *Container) { c.Labels = map[string]string{"legacy": "yes"} },
		"helper": func(c *Container) { c.Name = "helper" },
		"dev":    func(c *Container) { c.Pod.Namespace = "dev" },
		"tier":   func(c *Container) { c.Pod.Labels = map[string]string{"tier": "none"} }, // fits the second rule, which has no function then
	} {
		other := c
		change(&other)
		if _, err := m.Resolve(&other); !errors.Is(err, ErrNobody) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestBadValues(t *testing.T) {
	m, err := NewMapper(Options{})
	if err != nil {
		t.Fatal(err)
	}
	for label, values := range map[string][]string{
		LabelTenant:   {"a b", "..", "ünï", "a\r\nX-Scope-OrgID: b", strings.Repeat("t", 151)},
		LabelFunction: {"a\x00b", "\xff", strings.Repeat("f", 257)},
		LabelVersion:  {"a\nb"},
	} {
		for _, v := range values {
			c := Container{ID: "c1", Labels: map[string]string{LabelFunction: "f"}}
			c.Labels[label] = v
			_, err := m.Resolve(&c)
			if err == nil || errors.Is(err, ErrNobody) || !strings.Contains(err.Error(), strings.TrimPrefix(label, "dev.coldscope.")) {
				t.Errorf("%s=%q: %v", label, v, err)
			}
		}
	}
	if _, err := m.Resolve(&Container{Labels: map[string]string{LabelFunction: "f"}}); err == nil || errors.Is(err, ErrNobody) {
		t.Errorf("without an ID: %v", err)
	}
}

// All that is wrong is told at once, with its place.
func TestValidate(t *testing.T) {
	err := Options{
		Presets: []string{"knative", "kubernets", "knative"},
		Tenant:  "a/b",
		Templates: []Template{
			{Match: "a=b,,c", Function: "{label.a"},
			{Version: "{image.tga}", Function: "x}", Namespace: "{'a}", Tenant: "{label.a'b'}"},
			{Match: "tier in fn", Function: "{label.|pod.uid}", Instance: "{pod.uid 'x'}"},
			{Match: "pod.labels=x", Function: ""},
		},
	}.Validate()
	if err == nil {
		t.Fatal("no error")
	}
	want := strings.Join([]string{
		`mapping.tenant: "a/b" has more than letters, digits and !-_.*'()`,
		`mapping.templates: mapping.presets does not list "template", so they would never be used`,
		`mapping.presets[1]: unknown preset "kubernets" (known: coldscope, docker, fission, knative, kubernetes, nuclio, openfaas, scf)`,
		`mapping.presets[2]: "knative" is listed twice`,
		`mapping.templates[0].match: "a=b,,c": position 5: a key is missing`,
		`mapping.templates[0].function: "{label.a": position 2: } is missing`,
		`mapping.templates[1].namespace: "{'a}": position 2: the quote is not closed`,
		`mapping.templates[1].function: "x}": position 2: } without its {; a plain brace is written twice`,
		`mapping.templates[1].version: "{image.tga}": position 2: unknown placeholder "image.tga"`,
		`mapping.templates[2].match: "tier in fn": position 9: ( is missing`,
		`mapping.templates[2].function: "{label.|pod.uid}": position 2: unknown placeholder "label."`,
		`mapping.templates[2].instance: "{pod.uid 'x'}": position 2: unknown placeholder "pod.uid 'x'"`,
		`mapping.templates[3].match: "pod.labels=x": position 1: unknown key pod.labels (a label of this name is label.pod.labels)`,
		`mapping.templates[3].function: a pattern is needed`,
	}, "\n")
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Error(diff)
	}
}

func TestContainerFromLogPath(t *testing.T) {
	m, err := NewMapper(Options{})
	if err != nil {
		t.Fatal(err)
	}
	for path, version := range map[string]string{
		"/r/ns_cart-v7_u/cart":                   "v7",
		"/r/ns_other_u/cart":                     "other",
		"/r/ns_a_b_u/a":                          "a_b",
		"/r/ns_cart_u/cart":                      "cart",
		"/r/ns_cart-7d9f8b6c5-x2x4z_u/cart":      "7d9f8b6c5",
		"/r/ns_shop-cart-7d9f8b6c5-x2x4z_u/cart": "shop-cart-7d9f8b6c5",
		"/r/ns_cart-blue-green_u/cart":           "blue-green", // 5 letters, but vowels
	} {
		c, ok := ContainerFromLogPath(path)
		if !ok {
			t.Errorf("%s: not taken", path)
			continue
		}
		got, ok := m.Ref(c)
		want := faas.Ref{Tenant: "default", Namespace: "ns", Function: c.Name, Version: version, Instance: "u"}
		if !ok || got != want {
			t.Errorf("%s: %v %+v", path, ok, got)
		}
	}
	for _, path := range []string{"", "/", "/r/ns_u/c", "/r/_pod_u/c", "/r/ns__u/c", "/r/ns_pod_/c", "c"} {
		if c, ok := ContainerFromLogPath(path); ok {
			t.Errorf("%q: %+v", path, c)
		}
	}
}

func FuzzTemplate(f *testing.F) {
	for _, t := range presets {
		f.Add(t.Match, t.Function, t.Version)
	}
	f.Add("a notin (b,c),!d", "{{a}}{label.x|'y'}", "{'")
	c := Container{
		ID: id("a"), Name: "app", Image: "r:5000/x/resize:2@" + imageDigest, Labels: map[string]string{"a": "b"},
		Pod: Pod{Namespace: "ns", Name: "app-7d9f8b6c5-x2x4z", UID: uid},
	}
	f.Fuzz(func(t *testing.T, match, function, version string) {
		m, err := NewMapper(Options{Templates: []Template{{Match: match, Function: function, Version: version}}})
		if err != nil {
			return
		}
		if ref, ok := m.Ref(&c); ok {
			e := faas.Event{ID: "1", Source: "h", Ref: ref, Data: faas.Ready{}}
			e.Time = e.Time.AddDate(2000, 0, 0)
			if err := e.Validate(); err != nil {
				t.Errorf("%+v: %v", ref, err)
			}
		}
	})
}

func FuzzFacts(f *testing.F) {
	f.Add("r:5000/x/y:tag@sha256:abc", "ns_pod_uid", "app-7d9f8b6c5-x2x4z", "app")
	f.Add("sha256:abc", "__", "-", "")
	m, err := NewMapper(Options{Presets: []string{"coldscope", "kubernetes", "docker"}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(_ *testing.T, image, dir, pod, name string) {
		m.Ref(&Container{ID: "a", Name: name, Image: image, Pod: Pod{UID: "u", Name: pod}})
		if c, ok := ContainerFromLogPath("/r/" + dir + "/" + name); ok {
			m.Ref(c)
		}
	})
}

func BenchmarkRef(b *testing.B) {
	m, err := NewMapper(Options{})
	if err != nil {
		b.Fatal(err)
	}
	c := Container{ID: id("a"), Name: "app", Image: "r:5000/x/resize:2", Pod: Pod{Namespace: "ns", Name: "app-7d9f8b6c5-x2x4z", UID: uid}}
	b.ReportAllocs()
	for b.Loop() {
		m.Ref(&c)
	}
}

// The options are a section of the configuration, as the documentation writes it.
func TestConfiguration(t *testing.T) {
	path := filepath.Join(t.TempDir(), "coldscope.yaml")
	if err := os.WriteFile(path, []byte(`
mapping:
  presets: [coldscope, template]
  tenant: acme
  templates:
    - match: "team, tier in (fn, batch)"
      function: "{label.app|container.name}"
      namespace: "{label.team}-{pod.namespace|'none'}"
      version: "{image.tag}"
      instance: "{container.id}"
`), 0o600); err != nil {
		t.Fatal(err)
	}
	var c struct {
		Mapping Options `yaml:"mapping"`
	}
	if err := conf.Load(path, &c); err != nil {
		t.Fatal(err)
	}
	m, err := NewMapper(c.Mapping)
	if err != nil {
		t.Fatal(err)
	}
	got, ok := m.Ref(&Container{ID: "c1", Name: "n", Image: "i:2", Labels: map[string]string{"team": "red", "tier": "fn"}})
	if want := (faas.Ref{Tenant: "acme", Namespace: "red-none", Function: "n", Version: "2", Instance: "c1"}); !ok || got != want {
		t.Errorf("%v %+v", ok, got)
	}
}
