// Package probe finds out from outside when a starting container becomes ready,
// why it does not, and what it and its invocations use of the host. Nothing
// runs inside the container and nothing connects to it.
//
// # Readiness
//
// An instance is ready when one of its ports listens. The kernel is asked for
// listening sockets by NETLINK_INET_DIAG (sock_diag(7)), through a socket that was opened
// once inside the container's network namespace; a quick look for a server on all
// addresses takes some 5µs, a full list some 30µs, whatever else runs on the
// host. Looks are 1ms apart at first, later a twentieth of the start's age, at most 100ms;
// nothing is done for an instance that is ready. However many instances
// start, looks take a twentieth of one core at most, and become rarer instead.
//
// Ready's time, and the end of the init phase, is when the kernel answered. The
// phase's attribute accuracy_ms is the time since the last look that would
// have seen the server: it listened at some moment in between. Listening is not
// answering: a server's first response may take longer.
//
// Where the kernel allows a BPF program (method ebpf), it tells the moment itself,
// within listen(2), also of a server that listened before the runtime told of
// its process. Which of its sockets it was is not known: the time is that of the process's latest
// listen(2) that was seen then, and accuracy_ms reaches back to its earliest one.
//
// A socket counts only if a process of the container holds it (/proc/PID/fd),
// since a pod's containers, or those in the host's network, share a namespace. The processes are those of the container's
// control group, or its first one's descendants. A
// server on the loopback is not ready, unless Options.Loopback says so or it is
// in the host's network namespace.
//
// No readiness is invented: of an instance that listens already when it is
// seen first, it is told only if its process is at most a second old, with that
// age as accuracy; of one that is older than Options.Timeout by then, nothing. What was found
// when the collector was killed, and was not yet durable, is not found again.
//
// # Starts that fail
//
// When nothing listens within Options.Timeout, or the process ends before, a
// failed init phase says what was found, with the attributes diagnosis
// (loopback, other_port, nothing, exited, late) and listening, the addresses on which its processes
// do listen. A later readiness emits the phase again, with the same start
// and the diagnosis late. A port that is taken by
// another process of a shared namespace is mentioned in the sentence.
//
// # Usage
//
// Exited gives the memory peak, CPU time and OOM kills of an instance's life
// from its control groups, as they were when its process ended: runtimes tell of that
// when they have removed the groups (dockerd some 50ms later), so the process itself is
// waited for. Where that comes too late, on a loaded host, it gives what was read last while
// the process ran, at most 10s before. Invocation reads them at an invocation's start and
// end, as soon as the platform's events arrive. That is later than the fact: by what the
// instance did in this lag the numbers are wrong. So an invocation is not
// measured if an event is over Options.MaxEventLag old, or if a quarter of the
// invocation was over when its start was read; such are counted as late. The memory peak is that of the
// whole instance in the windows between readings: memory that it holds from
// before counts. Where invocations overlap, each gets the instance's CPU time, and is marked as
// shared. A peak needs a kernel that can reset it (control groups version 1, or
// 2 since Linux 6.12); else it is left out.
//
// # Capabilities
//
// What is missing is told once in the log and as coldscope_collector_probe_degraded{lost}.
//
//	CAP_SYS_ADMIN       to enter network namespaces (setns). Without it, or
//	                    CAP_SYS_PTRACE, sockets are read from /proc/PID/net/tcp,
//	                    which takes 15ms each time: ten times a second, at most.
//	CAP_SYS_PTRACE      to open namespaces and list descriptors of others'
//	                    processes. Without it, any server in the container's
//	                    namespace is believed to be its own (verified=false).
//	CAP_BPF, CAP_PERFMON  for ebpf, or CAP_SYS_ADMIN; Linux 5.8. Without it,
//	                    accuracy is that of the looks.
//	CAP_DAC_OVERRIDE    (or root's user) to reset memory peaks. Without it,
//	                    invocations have no memory peak.
//	CAP_NET_ADMIN       is not needed.
//
// The collector must see the host's PIDs (hostPID, or the host's /proc as
// Options.ProcRoot) and be in the host's control group namespace.
package probe
