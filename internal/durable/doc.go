// Package durable keeps bytes through crashes. WriteFile replaces a small file
// as a whole; Log appends records to numbered segments and makes them durable
// with one fsync for all who wait; LockDir keeps a second process out of a
// directory. Everything that is read back carries a checksum, so that damage
// is noticed instead of believed.
//
// Both formats are text. A checked file is one header line
// `coldscope-file 1 <crc32c, 8 hex> <length>` and its payload. A log's segment
// is lines of `<crc32c, 8 hex> <payload>`, so that it can be tailed like any
// log file; its first record's payload begins with `#` and makes the segment
// unlike every other.
package durable
