// Package frontbench measures the front ends beside the servers that people run for the same: OpenSSH and
// pkg/sftp for SFTP, nginx, Apache and golang.org/x/net/webdav for HTTPS. It has no code of its own.
//
// All servers of a work take turns, round after round, with the same client, so that what else the
// machine does hits all alike; the medians count. What was moved is compared byte for byte. CPU is that of
// the server alone. The gateway does more in the time than the others: an upload is staged and durable before it is
// acknowledged. It is the only one that asks for a password over HTTPS; that is checked before the time is taken.
// All folders lie on a tmpfs, if there is one.
//
// Without flags little is moved, which tests the harness. The tables of docs/performance.md are made by
// "make bench-fronts", which is
//
//	go test ./tests/frontbench -v -count=1 -timeout=2h -run=TestRealFronts -args -full
package frontbench
