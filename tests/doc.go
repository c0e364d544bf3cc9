// Package tests tests the gateway from outside: the built binary against real servers and clients, and
// the house rules of the source tree, such as the direction of imports. It has no code of its own.
// The servers and clients are those of tests/servers.
package tests
