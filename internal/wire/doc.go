// Package wire is what travels between Coldscope's parts and how: lines as
// Loki push (protobuf and snappy), events as CloudEvents JSON, the names of
// labels and metadata, the limits, and the one distinction a sender needs of
// an error: permanent, or worth a retry.
package wire
