package sqlite_test

import (
	"io/fs"
	"path/filepath"
	"testing"

	"gateway/state/sqlite"
	"gateway/state/statetest"
)

func BenchmarkRealLedger(b *testing.B) {
	dir := b.TempDir()
	s, err := sqlite.Open(b.Context(), filepath.Join(dir, "state.db"))
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	statetest.Bench(b, s, func() (sum int64) {
		err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			info, err := d.Info()
			if err == nil {
				sum += info.Size()
			}
			return err
		})
		if err != nil {
			b.Error(err)
		}
		return sum
	})
}
