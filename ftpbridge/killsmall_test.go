package ftpbridge

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"gateway/tests/servers"
)

// TestRealMigrateKilledSmall kills migrations of many small files, of which many
// are on their way to being published at any moment. Nothing is lost, nothing is
// published twice, and of what was published nothing is fetched again.
func TestRealMigrateKilledSmall(t *testing.T) {
	const files, connections = 400, 8
	root := t.TempDir()
	want := map[string]string{}
	for i := range files {
		name := fmt.Sprintf("folder%d/file%04d", i%3, i)
		want[name] = fmt.Sprintf("the content of file %d", i*i)
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(want[name]), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	srv := servers.Start(t, servers.VSFTPD, servers.Options{Root: root, Extra: []string{"max_clients=0"}})
	proxy := servers.StartProxy(t, srv.Addr, servers.ProxyOptions{FTP: true})
	dir := t.TempDir()
	j := childJob{
		Source: fmt.Sprintf("ftp://%s:%s@%s/", srv.User, srv.Pass, proxy.Addr),
		Dest:   filepath.Join(dir, "dest"), State: filepath.Join(dir, "state.db"), Connections: connections,
	}
	if err := os.Mkdir(j.Dest, 0o755); err != nil {
		t.Fatal(err)
	}
	kills := 0
	for kills < migrateKills && !killChild(t, j, 1+rand.IntN(300)) {
		kills++
	}
	o, done := j.options(t)
	defer done()
	rep, err := Migrate(testContext(t), o)
	if err != nil || !rep.Complete() {
		t.Fatalf("%v\n%s", err, text(rep))
	}
	counts := published(t, j.State)
	for name, content := range want {
		data, err := os.ReadFile(filepath.Join(j.Dest, o.Folder, name))
		if err != nil || string(data) != content {
			t.Errorf("%s: %q, %v", name, data, err)
		}
		if n := counts[publicationKey(o.DestName, filepath.Join(o.Folder, name))]; n != 1 {
			t.Errorf("%s was published %d times", name, n)
		}
	}
	if len(counts) != files {
		t.Errorf("%d targets were published, want %d", len(counts), files)
	}
	if n := len(retrievals(proxy)); n > files+kills*(maxPublishing+connections) {
		t.Errorf("%d files were fetched %d times with %d kills", files, n, kills)
	}
	t.Logf("%d kills, %d fetches", kills, len(retrievals(proxy)))
}
