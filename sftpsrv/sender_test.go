package sftpsrv

import (
	"bytes"
	"testing"
)

// pieces is a writer that remembers how long each write was.
type pieces struct {
	all  bytes.Buffer
	long []int
}

// Write implements io.Writer.
func (p *pieces) Write(b []byte) (int, error) {
	p.long = append(p.long, len(b))
	return p.all.Write(b)
}

// TestSenderFillsPackets: replies that wait together go out in full SSH packets, all bytes of them in their order.
func TestSenderFillsPackets(t *testing.T) {
	for _, sizes := range [][]int{
		{32768 + 13, 32768 + 13, 32768 + 13, 32768 + 13, 32768 + 13},
		{20, 20, 255<<10 + 13, 20, 32768, 32767, 9, 65536, 255<<10 + 13},
		{32768}, {17}, {100000},
	} {
		var out pieces
		var pool bufferPool
		released := 0
		s := newSender(&out, &pool, func(weight int64) { released += int(weight) })
		var want []byte
		for i, size := range sizes {
			buf := pool.get(size)
			copy(buf.b, pattern(size + i)[i:])
			buf.finish()
			want = append(want, buf.b...)
			s.send(buf, 1)
		}
		go s.run()
		s.close()
		if !bytes.Equal(out.all.Bytes(), want) || released != len(sizes) {
			t.Errorf("%d: %d bytes that differ from the %d sent, %d released", sizes, out.all.Len(), len(want), released)
		}
		for i, n := range out.long {
			if n != stallPiece && i != len(out.long)-1 {
				t.Errorf("%d: packet %d of %d has %d bytes", sizes, i, len(out.long), n)
			}
		}
	}
}
