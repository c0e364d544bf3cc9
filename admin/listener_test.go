package admin

import (
	"errors"
	"io"
	"net"
	"testing"
	"time"
)

// TestOneAddressLeavesRoom: who may not log in cannot take all connections from the operator.
func TestOneAddressLeavesRoom(t *testing.T) {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln := newFairListener(tcp)
	accepted, ended := make(chan net.Conn, maxConnections), make(chan error)
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				ended <- err
				return
			}
			accepted <- conn
		}
	}()
	dial := func(from string) net.Conn {
		t.Helper()
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
		conn, err := d.DialContext(t.Context(), "tcp", tcp.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	var last net.Conn
	for range maxPerAddress {
		dial("127.0.0.1")
		last = <-accepted
	}
	over := dial("127.0.0.1")
	_ = over.SetReadDeadline(time.Now().Add(time.Minute))
	if _, err := over.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("one too many is kept: %v", err)
	}
	dial("127.0.0.2")
	<-accepted
	for range 2 { // that is closed twice is counted once
		_ = last.Close()
	}
	dial("127.0.0.1")
	<-accepted
	over = dial("127.0.0.1")
	_ = over.SetReadDeadline(time.Now().Add(time.Minute))
	if _, err := over.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("one too many is kept: %v", err)
	}
	_ = ln.Close()
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}
