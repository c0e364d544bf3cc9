package integrity

import (
	"encoding"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"slices"
)

// MaxDigesterState bounds what RestoreDigester reads, in bytes; the states of
// all the algorithms together have half of it.
const MaxDigesterState = 4 << 10

// ErrDigesterState reports bytes that are not a Digester's state: cut, changed,
// or written by a version that keeps states in another way. Hash again from the
// beginning.
var ErrDigesterState = errors.New("not a state of digests")

// A state is this magic; the bytes hashed as 8 bytes big-endian; for each
// algorithm the length of its name, its name, the length of its state as 2
// bytes big-endian and its state as its MarshalBinary gives it; and the SHA-256
// of all that, which finds accidents in storage.
const digesterMagic = "gateway digests 1\n"

// MarshalBinary returns the state of all digests after the bytes written until
// now, for RestoreDigester. Writing can go on.
func (d *Digester) MarshalBinary() ([]byte, error) {
	state := binary.BigEndian.AppendUint64([]byte(digesterMagic), uint64(d.size))
	for i, name := range d.names {
		m, ok := d.hashes[i].(encoding.BinaryMarshaler)
		if !ok {
			return nil, fmt.Errorf("integrity: keep digests: %s has no state that can be kept", name)
		}
		inner, err := m.MarshalBinary()
		if err != nil {
			return nil, fmt.Errorf("integrity: keep digests: %s: %w", name, err)
		}
		state = append(state, byte(len(name)))
		state = append(state, name...)
		state = binary.BigEndian.AppendUint16(state, uint16(len(inner)))
		state = append(state, inner...)
	}
	return append(state, digestOf(state).Sum...), nil
}

// RestoreDigester goes on where MarshalBinary was called, with the same
// algorithms; Size tells the offset of the next byte. Its Whole is false for
// ever: such digests say early that bytes are bad, and never that they are
// good. A state is trusted to be one that this program wrote, not to be
// undamaged. The error is ErrDigesterState.
func RestoreDigester(state []byte) (*Digester, error) {
	body, err := checkState(state)
	if err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint64(body)
	if int64(size) < 0 {
		return nil, fmt.Errorf("%w: of %d bytes", ErrDigesterState, size)
	}
	states := make(map[Algorithm][]byte)
	var names []Algorithm
	for body = body[8:]; len(body) > 0; {
		var name, inner []byte
		if name, inner, body, err = cutState(body); err != nil {
			return nil, err
		}
		names = append(names, Algorithm(name))
		states[Algorithm(name)] = inner
	}
	d, err := NewDigester(names...)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDigesterState, err)
	}
	if !slices.Equal(names, d.names) {
		return nil, fmt.Errorf("%w: of the algorithms %q", ErrDigesterState, names)
	}
	for i, name := range d.names {
		if err := restoreHash(d.hashes[i], *name.lookup(), states[name], size); err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrDigesterState, name, err)
		}
	}
	d.size, d.restored = int64(size), true
	return d, nil
}

// checkState returns what stands between the magic and the checksum.
func checkState(state []byte) ([]byte, error) {
	const sum = 32
	switch {
	case len(state) > MaxDigesterState:
		return nil, fmt.Errorf("%w: %d bytes, more than %d", ErrDigesterState, len(state), MaxDigesterState)
	case len(state) < len(digesterMagic)+8+sum || string(state[:len(digesterMagic)]) != digesterMagic:
		return nil, fmt.Errorf("%w: it does not begin as one", ErrDigesterState)
	}
	end := len(state) - sum
	if !digestOf(state[:end]).Equal(Digest{SHA256, state[end:]}) {
		return nil, fmt.Errorf("%w: damaged", ErrDigesterState)
	}
	return state[len(digesterMagic):end], nil
}

func cutState(body []byte) (name, inner, rest []byte, err error) {
	short := fmt.Errorf("%w: cut", ErrDigesterState)
	n := int(body[0])
	if len(body) < 1+n+2 {
		return nil, nil, nil, short
	}
	name, body = body[1:1+n], body[1+n:]
	n = int(binary.BigEndian.Uint16(body))
	if len(body) < 2+n {
		return nil, nil, nil, short
	}
	return name, body[2 : 2+n], body[2+n:], nil
}

// restoreHash restores one hash. The length that its state holds must be that
// of the whole, and the parts of BLAKE2b's state that index its buffers must lie
// within them, which its UnmarshalBinary does not check.
func restoreHash(h hash.Hash, info algorithmInfo, state []byte, size uint64) error {
	u, ok := h.(encoding.BinaryUnmarshaler)
	if !ok {
		return errors.New("its state cannot be restored")
	}
	if err := u.UnmarshalBinary(state); err != nil {
		return err
	}
	switch info.name {
	case CRC32: // keeps no length
	case BLAKE2b, BLAKE2b384, BLAKE2b256:
		// "b2b", 8 words of chain, 2 words of counter, size, block of 128, offset
		const counter, sizeAt, block = 3 + 64, 3 + 64 + 16, 128
		offset := uint64(state[len(state)-1])
		done := binary.BigEndian.Uint64(state[counter:])
		if int(state[sizeAt]) != info.size || offset > block || done+offset != size {
			return errors.New("it contradicts itself")
		}
	default: // the length is the end of the state
		if binary.BigEndian.Uint64(state[len(state)-8:]) != size {
			return errors.New("it contradicts itself")
		}
	}
	return nil
}
