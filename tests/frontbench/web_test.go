package frontbench

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gateway/tests/servers"
)

func webWorks(t *testing.T, s sizes) []work {
	local := servers.WorkDir(t, "")
	got, source := filepath.Join(local, "got"), filepath.Join(local, "source")
	mb := float64(s.big) / 1e6
	size := fmt.Sprintf("%d MiB", s.big>>20)
	get := func(name, version, flag string) work {
		return work{name: name, title: "HTTPS: GET of " + size + ", curl, " + version, unit: "MB/s", done: mb,
			prepare: func(t testing.TB, p *peer) { login(t, p); os.Remove(got) },
			run:     func(t testing.TB, p *peer) { curl(t, p, flag, "-o", got, p.url+"big") },
			check:   func(t testing.TB, p *peer) { sameFile(t, got, filepath.Join(p.root, "big")) }}
	}
	put := func(name, version, flag string) work {
		return work{name: name, title: "HTTPS: PUT of " + size + ", curl, " + version, unit: "MB/s", done: mb,
			prepare: func(t testing.TB, p *peer) { login(t, p); s.prepareBig(t, p, source) },
			run:     func(t testing.TB, p *peer) { curl(t, p, flag, "-T", source, p.url+"new/big") },
			check:   func(t testing.TB, p *peer) { sameFile(t, filepath.Join(p.root, "new", "big"), source) }}
	}
	return []work{
		get("web-get", "HTTP/1.1", "--http1.1"), put("web-put", "HTTP/1.1", "--http1.1"),
		get("web-get-2", "HTTP/2", "--http2"), put("web-put-2", "HTTP/2", "--http2"),
		{name: "web-small", title: fmt.Sprintf("HTTPS: %d GETs of 4 KiB, 8 connections", s.gets), unit: "requests/s", done: float64(s.gets), prepare: login, run: s.getMany},
		{name: "web-propfind", title: fmt.Sprintf("WebDAV: PROPFIND of a folder of %d files, depth 1, allprop", s.listed),
			unit: "entries/s", done: float64(s.listed), prepare: login, run: s.propfind},
	}
}

// login has the password checked, which takes a tenth of a second of purpose and is remembered for a minute: the peers
// ask for none.
func login(t testing.TB, p *peer) {
	t.Helper()
	c := client(1)
	defer c.CloseIdleConnections()
	if err := do(c, p, http.MethodHead, "big", nil, http.StatusOK, io.Discard); err != nil {
		t.Fatalf("%s: %v", p.name, err)
	}
}

func curl(t testing.TB, p *peer, args ...string) {
	t.Helper()
	args = append([]string{"-q", "-sS", "-f", "-k", "-H", "Expect:"}, args...)
	if p.password != "" {
		args = append([]string{"-u", p.user + ":" + p.password}, args...)
	}
	if out, err := exec.Command(servers.Tool(t, "curl"), args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", p.name, err, out)
	}
}

// client keeps so many connections of HTTP/1.1.
func client(connections int) *http.Client {
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig:     &tls.Config{InsecureSkipVerify: true}, // whose certificate it is does not matter here
		TLSNextProto:        map[string]func(string, *tls.Conn) http.RoundTripper{},
		MaxConnsPerHost:     connections,
		MaxIdleConnsPerHost: connections,
	}}
}

func do(c *http.Client, p *peer, method, name string, header map[string]string, status int, body io.Writer) error {
	req, err := http.NewRequest(method, p.url+name, http.NoBody)
	if err != nil {
		return err
	}
	if p.password != "" {
		req.SetBasicAuth(p.user, p.password)
	}
	for k, v := range header {
		req.Header.Set(k, v)
	}
	resp, err := c.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != status {
		return fmt.Errorf("%s %s: %s", method, name, resp.Status)
	}
	_, err = io.Copy(body, resp.Body)
	return err
}

func (s sizes) getMany(t testing.TB, p *peer) {
	c := client(8)
	defer c.CloseIdleConnections()
	each(t, p, s.gets, 8, func(i int) error {
		var body bytes.Buffer
		i %= s.small
		if err := do(c, p, http.MethodGet, "folder/"+smallName(i), nil, http.StatusOK, &body); err != nil {
			return err
		}
		if !bytes.Equal(body.Bytes(), smallBody(i)) {
			return fmt.Errorf("other bytes came for %s", smallName(i))
		}
		return nil
	})
}

func (s sizes) propfind(t testing.TB, p *peer) {
	c := client(1)
	defer c.CloseIdleConnections()
	var body bytes.Buffer
	if err := do(c, p, "PROPFIND", "many/", map[string]string{"Depth": "1"}, http.StatusMultiStatus, &body); err != nil {
		t.Fatalf("%s: %v", p.name, err)
	}
	if n := strings.Count(body.String(), "file%20number%20"); n < s.listed {
		t.Fatalf("%s: %d of %d entries", p.name, n, s.listed)
	}
}

// selfSigned writes a certificate for the server that x/net/webdav is made into.
func selfSigned(dir string) (certFile, keyFile string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, NotAfter: time.Now().Add(24 * time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		log.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		log.Fatal(err)
	}
	certFile, keyFile = filepath.Join(filepath.Dir(dir), "cert.pem"), filepath.Join(filepath.Dir(dir), "key.pem")
	for path, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: cert}, keyFile: {Type: "PRIVATE KEY", Bytes: raw}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			log.Fatal(err)
		}
	}
	return certFile, keyFile
}
