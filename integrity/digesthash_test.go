package integrity

import (
	"math/rand/v2"
	"runtime"
	"testing"
)

// noiseBytes is n bytes that are the same in every run.
func noiseBytes(n int) []byte {
	b := make([]byte, n)
	source := rand.NewChaCha8([32]byte{1})
	source.Read(b)
	return b
}

func mustDigester(t testing.TB, algs ...Algorithm) *Digester {
	t.Helper()
	d, err := NewDigester(algs...)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// sumsOf hashes by each algorithm alone.
func sumsOf(t testing.TB, data []byte, algs ...Algorithm) []Digest {
	t.Helper()
	var sums []Digest
	for _, alg := range algs {
		h, err := alg.New()
		if err != nil {
			t.Fatal(err)
		}
		h.Write(data)
		sums = append(sums, Digest{alg, h.Sum(nil)})
	}
	return sums
}

func wantSums(t testing.TB, got, want []Digest) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d digests, want %d", len(got), len(want))
	}
	for i := range want {
		if !got[i].Equal(want[i]) {
			t.Errorf("%v, want %v", got[i], want[i])
		}
	}
}

// Writes that run in parallel and writes that do not make the same digests,
// however many processors there are.
func TestDigesterInParallel(t *testing.T) {
	data := noiseBytes(3<<20 + 17)
	want := sumsOf(t, data, Algorithms()...)
	for _, processors := range []int{1, 2, 3, 16} {
		old := runtime.GOMAXPROCS(processors)
		for _, step := range []int{1000, parallelFrom - 1, parallelFrom, 1 << 20, len(data)} {
			d := mustDigester(t, Algorithms()...)
			for rest := data; len(rest) > 0; rest = rest[min(step, len(rest)):] {
				d.Write(rest[:min(step, len(rest))])
			}
			wantSums(t, d.Sums(), want)
			if d.Size() != int64(len(data)) || !d.Whole() {
				t.Errorf("size %d, whole %v", d.Size(), d.Whole())
			}
		}
		runtime.GOMAXPROCS(old)
	}
}

func TestCRC32(t *testing.T) {
	// The check value of the CRC that ISO 3309 and ZIP use.
	if got := sumsOf(t, []byte("123456789"), CRC32)[0].String(); got != "crc32:cbf43926" {
		t.Error(got)
	}
	if CRC32.Strong() || CRC32.strength() >= MD5.strength() {
		t.Error("CRC-32 must be weaker than everything else")
	}
}

func FuzzParseDigest(f *testing.F) {
	for _, seed := range []string{"md5:" + md5A, "crc32:" + crcA, "sha256:" + sha256A, "blake2b-256:" + sha256B, ":", "x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, err := ParseDigest(text)
		if err != nil {
			return
		}
		if again, err := ParseDigest(d.String()); err != nil || !again.Equal(d) {
			t.Fatalf("%q became %v, then %v, %v", text, d, again, err)
		}
	})
}
