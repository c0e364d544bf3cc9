package disk

import (
	"testing"

	"gateway/storage"
	"gateway/storage/storagetest"
)

// open opens dir until the end of the test.
func open(t testing.TB, dir string, o Options) *Disk {
	t.Helper()
	d, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func TestConformance(t *testing.T) {
	storagetest.Test(t, func(t *testing.T) storage.FS { return open(t, t.TempDir(), Options{}) })
}

// TestConformanceOld publishes by links, as on file systems whose rename can only
// replace, and goes through the tree in steps, as on old kernels.
func TestConformanceOld(t *testing.T) {
	storagetest.Test(t, func(t *testing.T) storage.FS {
		return open(t, t.TempDir(), Options{noRenameat2: true, noOpenat2: true})
	})
}
