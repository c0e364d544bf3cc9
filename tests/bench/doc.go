// Package bench measures gateway migrate beside the programs that people use for the same work: lftp,
// rclone, wget and curl, all against one vsftpd. It has no code of its own.
//
// All contenders of a workload run in turn, round after round, so that what else the machine does hits
// all alike; the medians count. A run counts only if the tree it left is byte for byte the one that is
// served. What the gateway does besides, SHA-256 of everything, a durable publish, a signed statement
// for each file, is in its times. The server, the trees, the destinations and the gateway's own
// database lie in one folder, best on a tmpfs, so that no disk is measured.
//
// The long way of some workloads is the delay of the proxy in tests/servers, which all contenders go
// through.
//
// Without flags tiny trees are moved, which tests the harness. The table of docs/performance.md is made
// by "make bench", which is
//
//	go test ./tests/bench -v -count=1 -timeout=3h -run=TestRealBench -args -full
package bench
