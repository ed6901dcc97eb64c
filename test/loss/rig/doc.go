// Package rig is what the collector is measured and tortured with as a black
// box: the real binary as a child (Collector, or any of our commands: Process), a sink that is a process of its
// own and can be stopped, slowed and made to refuse (Sink), and containers'
// log files as the runtimes write, rotate and remove them (Log).
//
// Every line that a Log writes says who wrote it, its number, its time and its
// checksum, so that the sink alone knows what is missing, what came twice and
// what came changed. Nothing here knows the collector's inside: identity is
// what the lines arrive with.
package rig
