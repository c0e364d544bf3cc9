package integrity

import (
	"io"
	"testing"
	"time"
)

func BenchmarkDigester(b *testing.B) {
	for name, algs := range map[string][]Algorithm{
		"SHA256": {SHA256}, "SHA512": {SHA512}, "BLAKE2b": {BLAKE2b}, "SHA1": {SHA1}, "MD5": {MD5}, "CRC32": {CRC32},
	} {
		b.Run("alone/"+name, func(b *testing.B) {
			h, _ := algs[0].New()
			buffer := make([]byte, PipeBufferBytes)
			b.SetBytes(int64(len(buffer)))
			for b.Loop() {
				h.Write(buffer)
			}
		})
	}
	for name, parallel := range map[string]bool{"one after another": false, "in parallel": true} {
		b.Run("SHA256+SHA512+MD5/"+name, func(b *testing.B) {
			d, buffer := mustDigester(b, SHA512, MD5), make([]byte, PipeBufferBytes)
			b.SetBytes(int64(len(buffer)))
			for b.Loop() {
				if parallel {
					d.Write(buffer)
					continue
				}
				for _, h := range d.hashes {
					h.Write(buffer)
				}
			}
		})
	}
}

// throttled gives bytes no faster than a rate, as a network does.
type throttled struct {
	left  int64
	rate  float64 // bytes per second, 0 for no limit
	start time.Time
	given int64
}

func (r *throttled) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	n := min(int64(len(p)), r.left, 64<<10)
	clear(p[:min(n, 64)]) // the bytes are made somewhere
	r.left -= n
	r.given += n
	if r.rate > 0 {
		due := time.Duration(float64(r.given) / r.rate * float64(time.Second))
		time.Sleep(due - time.Since(r.start))
	}
	return int(n), nil
}

// Without a limit the reader costs nothing, so that what is measured with
// digests is hashing alone. At the rate of a 1 Gbit/s link, wall time must be
// the same with and without.
func BenchmarkPipe(b *testing.B) {
	for _, rate := range []struct {
		name string
		rate float64
		size int64
	}{{"1 Gbit per s", 125e6, 64 << 20}, {"no limit", 0, 512 << 20}} {
		for _, way := range []struct {
			name string
			copy func(src io.Reader) error
		}{
			{"no digests", func(src io.Reader) error {
				_, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, src, make([]byte, PipeBufferBytes))
				return err
			}},
			{"SHA256 in the way", func(src io.Reader) error {
				w := io.MultiWriter(mustDigester(b), struct{ io.Writer }{io.Discard})
				_, err := io.CopyBuffer(w, src, make([]byte, PipeBufferBytes))
				return err
			}},
			{"SHA256 beside", func(src io.Reader) error {
				p := NewPipe(mustDigester(b))
				_, err := p.Copy(io.Discard, src)
				p.Flush()
				return err
			}},
			{"SHA256+SHA512+MD5 beside", func(src io.Reader) error {
				p := NewPipe(mustDigester(b, SHA512, MD5))
				_, err := p.Copy(io.Discard, src)
				p.Flush()
				return err
			}},
		} {
			b.Run(rate.name+"/"+way.name, func(b *testing.B) {
				b.SetBytes(rate.size)
				for b.Loop() {
					if err := way.copy(&throttled{left: rate.size, rate: rate.rate, start: time.Now()}); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
