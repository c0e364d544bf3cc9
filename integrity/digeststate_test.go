package integrity

import (
	"bytes"
	"errors"
	"testing"
)

func TestRestoreDigester(t *testing.T) {
	data := noiseBytes(300_000)
	want := sumsOf(t, data, Algorithms()...)
	// Around the ends of blocks, where hashes hold bytes back.
	for _, at := range []int{0, 1, 63, 64, 65, 127, 128, 129, 256, 4096, 100_000, len(data)} {
		first := mustDigester(t, Algorithms()...)
		first.Write(data[:at])
		state, err := first.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		if len(state) > MaxDigesterState/2 {
			t.Errorf("a state of %d bytes; MaxDigesterState is %d", len(state), MaxDigesterState)
		}
		second, err := RestoreDigester(state)
		if err != nil {
			t.Fatalf("after %d bytes: %v", at, err)
		}
		if second.Size() != int64(at) || second.Whole() || !first.Whole() {
			t.Errorf("after %d bytes: size %d, whole %v", at, second.Size(), second.Whole())
		}
		second.Write(data[at:])
		wantSums(t, second.Sums(), want)
		first.Write(data[at:])
		wantSums(t, first.Sums(), want)
	}
}

// What is hashed on after a restore is never whole again, through any number of
// states.
func TestAttackRestoredStateIsNeverWhole(t *testing.T) {
	d := mustDigester(t)
	d.Write([]byte("what an earlier process read"))
	for range 3 {
		state, err := d.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		if d, err = RestoreDigester(state); err != nil {
			t.Fatal(err)
		}
		d.Write([]byte("more"))
		if d.Whole() || NewPipe(d).Flush().Whole() {
			t.Fatal("a restored state counts as whole")
		}
	}
}

// sealState gives changed bytes a right checksum, as nobody but an attacker would.
func sealState(body []byte) []byte { return append(body, digestOf(body).Sum...) }

func TestAttackForgedDigesterStates(t *testing.T) {
	d := mustDigester(t, Algorithms()...)
	d.Write(noiseBytes(1000))
	state, err := d.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	try := func(what string, state []byte) {
		t.Helper()
		r, err := RestoreDigester(state)
		if err == nil { // then it must at least be usable
			r.Write(noiseBytes(1000))
			r.Sums()
			return
		}
		if !errors.Is(err, ErrDigesterState) || r != nil {
			t.Errorf("%s: %v, want ErrDigesterState", what, err)
		}
	}
	for i := range state {
		changed := bytes.Clone(state)
		changed[i] ^= 0x81
		if _, err := RestoreDigester(changed); !errors.Is(err, ErrDigesterState) {
			t.Fatalf("byte %d changed: %v", i, err)
		}
		if _, err := RestoreDigester(state[:i]); !errors.Is(err, ErrDigesterState) {
			t.Fatalf("cut to %d: %v", i, err)
		}
	}
	body := state[:len(state)-32]
	for i := range body {
		for _, c := range []byte{0, 1, 0x7f, 0x80, 0xff, body[i] + 1} {
			changed := bytes.Clone(body)
			changed[i] = c
			try("a byte changed and sealed", sealState(changed))
		}
		try("cut and sealed", sealState(bytes.Clone(body[:i])))
	}
	try("too long", make([]byte, MaxDigesterState+1))
	try("empty", nil)
	head := []byte(digesterMagic + "\x00\x00\x00\x00\x00\x00\x00\x00")
	try("no algorithm", sealState(bytes.Clone(head)))
	if _, err := RestoreDigester(sealState(bytes.Clone(head))); !errors.Is(err, ErrDigesterState) {
		t.Errorf("no algorithm: %v", err)
	}
}

func FuzzRestoreDigester(f *testing.F) {
	for _, algs := range [][]Algorithm{nil, Algorithms()} {
		d := mustDigester(f, algs...)
		d.Write(noiseBytes(200))
		state, err := d.MarshalBinary()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(state[:len(state)-32])
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		d, err := RestoreDigester(sealState(bytes.Clone(body)))
		if err != nil {
			if !errors.Is(err, ErrDigesterState) {
				t.Fatal(err)
			}
			return
		}
		d.Write(body)
		if sums := d.Sums(); d.Whole() || sums[0].Algorithm != SHA256 || !sums[0].valid() {
			t.Fatalf("%v", sums)
		}
	})
}
