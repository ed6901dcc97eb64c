// Package containerd watches a containerd, with or without CRI, and tells
// what it sees of the containers that run functions: the facts of each cold
// start, its process when it runs, and its end.
//
// # Where each time comes from
//
// containerd reports events, but without a replay, and says little of pulls.
// What it keeps in its stores says more: a blob's, a snapshot's and a
// container's created_at are the times of their commits, in nanoseconds, and
// they are still there when an event was missed. So events tell when to look,
// and the stores tell the times:
//
//   - demanded: the sandbox's creation (for a container's first attempt in its
//     pod; 2.x takes a lease at its very begin), the pull's begin or the
//     container's creation, whichever is first.
//   - resolve: from the creation of the lease that a pull holds, which is the
//     first thing a pull does, to the manifest's commit in the content store.
//   - pull: from there to the last layer's commit. It contains the fetch of the
//     image's configuration. A layer's download starts with its ingest
//     (started_at), seen by polling while a pull is under way; one that came
//     and went between two polls has no start.
//   - unpack: a layer's from its prepared snapshot, but not before its blob was
//     there, to its snapshot's commit. (containerd prepares the first layer's
//     before its download.)
//   - create: container's creation to /tasks/create, which includes the wait for
//     the platform's call to start it. start: to /tasks/start.
//
// A pull belongs to the first container that is created from its image within
// a minute. A pull that fetched nothing, since all was there, has no phases:
// its lease is gone before anyone can look. Failed pulls leave no trace that
// could be joined to a function.
//
// Polling begins with the first snapshot that is prepared for a layer, or (2.x
// only) the first blob that is committed; a host that pulls nothing is never polled.
//
// # What is told again
//
// An event's ID is the container's with the fact's name. After a lost
// connection the list of containers and tasks says what was missed. A watcher
// that begins anew tells of the containers that it finds what is the same
// whenever it is told: the demand, and the end. It does not tell phases and
// layers again, nor a demand that began with a pull, since the pull's begin is
// not kept by containerd and its predecessor knew it. A container whose task
// is started a second time (CRI never does that) is not followed.
//
// [CRIWatcher] is for runtimes that have CRI alone.
package containerd
