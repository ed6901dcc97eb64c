// Package process is a container runtime without a container engine. It pulls
// and unpacks images itself, runs an instance as a child of this process in
// mount, PID, IPC, UTS and network namespaces of its own, on an overlay of the
// image's layers, with the capabilities that containers usually have, and
// writes what it prints in the CRI log format, where kubelet would. It needs
// Linux and root.
//
// An instance's first process is this binary itself, which prepares the
// namespaces from the inside and then becomes the function: see
// RunChildIfAsked.
//
// Instances never outlive the host: they get SIGKILL when it dies, and with
// the first process of a PID namespace the kernel ends all others. Mounts
// exist in the instance's own namespace only and vanish with it.
package process
