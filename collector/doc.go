// Package collector is the part of Coldscope that runs on every host. It tails
// the log files of the host's containers and its own journal of events, and
// ships both to an aggregator. It puts nothing inside a container and asks
// nothing of it.
//
// Its promise: a line that was written to a log file while the file existed,
// and an event that was answered with 204, reaches the sink, whatever is
// killed or cut in between. An offset moves only when the sink has
// acknowledged everything before it; what is not acknowledged is read again
// after a restart under the same name (file ID and offset), so that the store
// can fold it. What could not be kept is counted.
//
// The parts: discover finds files and opens them, tail frames records of one
// file, runtimelog decodes and joins them to lines, ship brings them to the
// sink, checkpoint remembers what was acknowledged, journal takes events in.
// One goroutine owns a container's files and reads them in order.
package collector
