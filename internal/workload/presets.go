package workload

import (
	"maps"
	"slices"
)

// The labels, or annotations, by which a container or its pod says whose it is.
const (
	LabelTenant    = "dev.coldscope.tenant"
	LabelNamespace = "dev.coldscope.namespace"
	LabelFunction  = "dev.coldscope.function"
	LabelVersion   = "dev.coldscope.version"
	LabelInstance  = "dev.coldscope.instance"
)

// noSidecar leaves out what platforms put beside a function into its pod.
const noSidecar = "container.name notin (queue-proxy, fetcher, istio-proxy, istio-init, istio-validation, " +
	"linkerd-proxy, linkerd-init, linkerd-network-validator, daprd, vault-agent, vault-agent-init)"

// presets are the rules that come with Coldscope. Where one names the instance
// by its pod, so does the platform: a pod runs one instance of the function.
var presets = map[string]Template{
	"coldscope": {
		Match:     noSidecar,
		Namespace: "{label." + LabelNamespace + "|annotation." + LabelNamespace + "|pod.namespace}",
		Function:  "{label." + LabelFunction + "|annotation." + LabelFunction + "}",
		Version:   "{label." + LabelVersion + "|annotation." + LabelVersion + "}",
		Instance:  "{label." + LabelInstance + "|annotation." + LabelInstance + "|pod.uid|container.id}",
	},
	// Knative Serving labels a revision's pods with its service, configuration
	// and own name; queue-proxy is beside the function in each.
	"knative": {
		Match:    "serving.knative.dev/revision, container.name=user-container",
		Function: "{label.serving.knative.dev/service|label.serving.knative.dev/configuration|label.serving.knative.dev/revision}",
		Version:  "{label.serving.knative.dev/revision}",
	},
	// OpenFaaS on Kubernetes labels pods with faas_function, which is the
	// container's name too; faasd and Swarm have com.openfaas.function.
	"openfaas": {
		Match:    noSidecar,
		Function: "{label.faas_function|label.com.openfaas.function}",
	},
	// SCF has no labels of its own outside Tencent's hosts. These are its API's
	// and its log service's names for the same things, as labels or annotations,
	// and those that a function sees in its environment.
	"scf": {
		Match: noSidecar,
		Namespace: "{label.SCF_Namespace|annotation.SCF_Namespace|label.SCF_NAMESPACE|annotation.SCF_NAMESPACE|" +
			"label.Namespace|annotation.Namespace|'default'}",
		Function: "{label.SCF_FunctionName|annotation.SCF_FunctionName|label.SCF_FUNCTIONNAME|annotation.SCF_FUNCTIONNAME|" +
			"label.FunctionName|annotation.FunctionName}",
		Version: "{label.SCF_Qualifier|annotation.SCF_Qualifier|label.SCF_FUNCTIONVERSION|annotation.SCF_FUNCTIONVERSION|" +
			"label.Qualifier|annotation.Qualifier|label.VersionID|annotation.VersionID|'$LATEST'}",
		Instance: "{label.InstanceId|annotation.InstanceId|label.InstanceID|annotation.InstanceID|pod.uid|container.id}",
	},
	// Fission's pool pods get these labels when they are specialised; the
	// function runs in the environment's container, beside fetcher.
	"fission": {
		Match:     "functionName, environmentName, " + noSidecar,
		Namespace: "{label.functionNamespace|pod.namespace}",
		Function:  "{label.functionName}",
		Version:   "{annotation.functionResourceVersion|image.tag|image.short_digest}",
	},
	// Nuclio has the same labels on Kubernetes and on Docker. Its version label
	// has said "latest" for years.
	"nuclio": {
		Match:     "nuclio.io/function-name, " + noSidecar,
		Namespace: "{pod.namespace|label.nuclio.io/project-name|'nuclio'}",
		Function:  "{label.nuclio.io/function-name}",
		Version:   "{image.tag|image.short_digest|label.nuclio.io/function-version}",
	},
	// Any other pod, by the recommended labels, or by its log's path alone.
	"kubernetes": {
		Match:    "pod.uid, pod.namespace notin (kube-system, kube-public, kube-node-lease), " + noSidecar,
		Function: "{label.app.kubernetes.io/name|label.app|container.name}",
		Version:  "{label.app.kubernetes.io/version|image.tag|image.short_digest|pod.revision}",
	},
	// Any other container, Docker Compose's by project and service.
	"docker": {
		Match:     "!pod.uid",
		Namespace: "{label.com.docker.compose.project}",
		Function:  "{label.com.docker.compose.service|container.name|container.short_id}",
		Instance:  "{container.id}",
	},
}

func presetNames() []string {
	return slices.Sorted(maps.Keys(presets))
}
