// Package runtimelog reads what container runtimes write: one record of a log
// file becomes a time, a stream and a piece of a line (Decoder), and pieces
// become whole lines with their place in the file (Joiner).
//
// The formats are CRI's (containerd, CRI-O, podman), those of Docker's json-file
// and local drivers, plain text (containerd's --log-uri file://) and that of the
// collector's own journal. Decoding and joining allocate nothing per line; what
// they return is valid until the next call.
//
// # What becomes one line
//
// A Joiner's Rules may make several lines of a stream one (a stack trace, an
// entry of glog), and split one at carriage returns. Whatever they say, two
// readers of a file get the same lines under the same names:
//
//   - The state is a function of the records since the last place at which
//     nothing was open, and only such a place is Safe.
//   - What is open ends by what follows: a line of its stream that does not
//     belong to it, or any record whose time is too far away. Only at a file's
//     end, where no later record is, its having been quiet decides (Idle); a
//     record that comes later is later by at least as much, unless the host's
//     clock is set back in between.
//   - Where always one stream or the other has an entry open, no place would
//     ever be Safe. So all entries end when 1000 lines have passed.
//
// Lines of plain text without a time of their own have that of reading. They
// never end an entry by it, so there what was quiet may be one entry when it is
// read again.
//
// # Bytes
//
// Each byte that is not UTF-8 becomes U+FFFD; NUL and other control characters
// stay. Docker's json-file has done the former, for good, before we read it; CRI,
// local and plain text keep all bytes up to here.
package runtimelog
