package ftpbridge

import (
	"crypto/md5"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gateway/integrity"
	"gateway/tests/servers"
)

const hashPolicy = "rules:\n- paths: '**'\n  evidence: [{server_hash: true}]\n  on_weak: publish\n"

func TestHashAlgorithm(t *testing.T) {
	for feat, want := range map[string]string{
		"":                                    "",
		"HASH SHA-256*;SHA-512":               "HASH SHA-256",
		"HASH sha-1*;crc32":                   "HASH SHA-1",
		"HASH WHIRLPOOL*;\nXCRC filename;s;e": "XCRC",
		"HASH":                                "",
		"XSHA256":                             "XSHA256",
		"XMD5\nXSHA1\nXCRC":                   "XSHA1",
		"XSHA\nXMD5":                          "XSHA",
		"MD5":                                 "MD5",
		"HASH MD5*\nXSHA512":                  "XSHA512",
		"HASH SHA-512; SHA-256 ;MD5":          "HASH SHA-256",
	} {
		info := ServerInfo{Features: map[string]string{}}
		for line := range strings.SplitSeq(feat, "\n") {
			name, arg, _ := strings.Cut(line, " ")
			info.Features[name] = arg
		}
		c, ok := info.hashCommand()
		if got := strings.TrimSpace(c.String()); got != want || ok != (want != "") {
			t.Errorf("%q: %q, want %q", feat, got, want)
		}
	}
}

func TestParseHash(t *testing.T) {
	c := hashCommand{"HASH", "SHA-1", integrity.SHA1}
	const sum = "80bc95fd391772fa61c91ed68567f0980bb45fd9"
	for text, want := range map[string]bool{
		"SHA-1 0-49 " + sum + " filename.ext":   true,
		"sha-1 0-50 " + strings.ToUpper(sum):    true,
		"SHA-1 0-48 " + sum + " filename.ext":   false, // a part
		"SHA-1 1-49 " + sum + " filename.ext":   false,
		"SHA-1 0-x " + sum:                      false,
		"SHA-1 " + sum + " filename.ext":        false,
		"SHA-256 0-49 " + sum + " filename.ext": false,
		"SHA-1 0-49 " + sum[1:]:                 false,
		"SHA-1 0-49 " + sum + "00":              false,
		"":                                      false,
	} {
		if got, err := parseHash(text, c, 50); (err == nil) != want || want && fmt.Sprintf("%x", got) != sum {
			t.Errorf("%q: %x, %v", text, got, err)
		}
	}
}

func TestFindHash(t *testing.T) {
	const md5 = "d41d8cd98f00b204e9800998ecf8427e"
	for _, c := range []struct {
		text string
		alg  integrity.Algorithm
		want string
	}{
		{md5, integrity.MD5, md5},
		{`"/a b" ` + strings.ToUpper(md5), integrity.MD5, md5},
		{"XMD5=" + md5 + ".", integrity.MD5, ""},
		{md5 + " /" + md5, integrity.MD5, md5},
		{md5 + " " + md5, integrity.MD5, md5},
		{md5 + " " + strings.Repeat("0", 32), integrity.MD5, ""},
		{md5 + "00", integrity.MD5, ""},
		{"no digest", integrity.MD5, ""},
		{"1C291CA3", integrity.CRC32, "1c291ca3"},
		{"0x1C291CA", integrity.CRC32, "01c291ca"},
		{"de ad 12345", integrity.CRC32, "00012345"},
		{"1234", integrity.CRC32, ""},
		{"1234567 7654321", integrity.CRC32, ""},
	} {
		got, ok := findHash(c.text, c.alg)
		if fmt.Sprintf("%x", got) != c.want || ok != (c.want != "") {
			t.Errorf("%q: %x", c.text, got)
		}
	}
}

// hashing is a server with the given features, of which answer makes the
// replies to hash commands.
func hashing(t *testing.T, files map[string]string, feat string, answer func(c *talk, verb, path string)) *scripted {
	t.Helper()
	srv := serve(t, files)
	srv.feat = append(srv.feat, strings.Split(feat, "\n")...)
	srv.handlers = map[string]func(*talk, string){"OPTS": func(c *talk, arg string) { c.say("200 %s", arg) }}
	for _, verb := range []string{"HASH", "XSHA256", "XMD5", "MD5", "XCRC", "XSHA512"} {
		srv.handlers[verb] = func(c *talk, arg string) {
			if in, ok := strings.CutPrefix(arg, `"`); ok && verb[0] == 'X' {
				arg = strings.TrimSuffix(in, `"`)
			}
			answer(c, verb, c.abs(arg))
		}
	}
	return srv
}

func TestServerHash(t *testing.T) {
	files := map[string]string{"a": "content of a", "empty": "", "dir/b": "content of b", "name 7": "seven", `blank and "`: "q"}
	for feat, answer := range map[string]func(c *talk, verb, path string){
		"HASH SHA-1*;SHA-256": func(c *talk, verb, path string) {
			body := c.srv.files[path]
			c.say("213 SHA-256 0-%d %x %s", max(0, len(body)-1), sha256.Sum256([]byte(body)), path)
		},
		"XSHA256 filename": func(c *talk, verb, path string) {
			c.say("250-hashing\r\n %X\r\n250 done", sha256.Sum256([]byte(c.srv.files[path])))
		},
		"XCRC": func(c *talk, verb, path string) {
			c.say("250 %X", crc32.ChecksumIEEE([]byte(c.srv.files[path])))
		},
		"MD5": func(c *talk, verb, path string) {
			c.say("251 \"%s\" %x", path, md5.Sum([]byte(c.srv.files[path])))
		},
	} {
		t.Run(feat, func(t *testing.T) {
			srv := hashing(t, files, feat, answer)
			m := newMove(t, srv.source(t, ""))
			m.policy(hashPolicy)
			rep := m.run()
			want, held := Count{"intact": 5}, map[string]string{}
			if feat[0] == 'X' { // which cannot carry such a name
				want, held[`blank and "`] = Count{"intact": 4}, "has no command for it"
			}
			if feat == "XCRC" { // of nothing it is 0, which is no digest
				want, held["empty"] = Count{"intact": 3}, "has not one digest in it"
			}
			equal(t, rep.Verdicts, want)
			reasons(t, rep.Quarantined, held)
			pub, err := m.store.Publication(t.Context(), "disk:old/a")
			if err != nil || !strings.Contains(pub.Reason, "as the file has it") {
				t.Errorf("%+v, %v", pub, err)
			}
		})
	}
}

// A file that comes broken is fetched anew, and one that always does is never
// published, whatever the policy says.
func TestServerHashContradicts(t *testing.T) {
	body := random(100 << 10)
	broken := "x" + body[1:]
	for _, times := range []int{1, 100} {
		srv := hashing(t, map[string]string{"a": body}, "HASH SHA-256*", func(c *talk, verb, path string) {
			c.say("213 SHA-256 0-%d %x a", len(body)-1, sha256.Sum256([]byte(body)))
		})
		srv.handlers["RETR"] = counted(func(c *talk, path string, rest int64, call int) {
			if call <= times {
				c.stream(broken, "226 done")
			} else {
				c.stream(body, "226 done")
			}
		})
		m := newMove(t, srv.source(t, ""))
		m.policy(hashPolicy + "  on_missing: publish\n")
		rep := m.run()
		if times == 1 {
			equal(t, m.files(), map[string]string{"a": body})
			continue
		}
		equal(t, len(m.files()), 0)
		equal(t, srv.count("RETR"), maxChanges)
		reasons(t, rep.Quarantined, map[string]string{"a": "it changed on the way or on the server"})
		equal(t, m.line("a").Verdict, "bad")
		equal(t, m.run().Quarantined.Total, int64(1)) // asked again, and bad again
	}
}

// Servers without the command, with a wrong answer, and with none.
func TestServerHashMissing(t *testing.T) {
	files := map[string]string{"a": "content"}
	for name, c := range map[string]struct {
		feat   string
		answer func(c *talk, verb, path string)
		want   string
	}{
		"no command": {"SIZE", nil, "has no command for it"},
		"refused":    {"XSHA256", func(c *talk, verb, path string) { c.say("550 too busy") }, "too busy"},
		"unknown":    {"XSHA256", func(c *talk, verb, path string) { c.say("500 what?") }, "has no command for it"},
		"nonsense":   {"XSHA256", func(c *talk, verb, path string) { c.say("250 ok") }, "has not one digest in it"},
		"a part":     {"HASH SHA-256*", func(c *talk, verb, path string) { c.say("213 SHA-256 0-3 %064x a", 0) }, "is not of the whole file"},
		"it hangs":   {"XMD5", func(c *talk, verb, path string) { time.Sleep(2 * patience) }, "silent"},
		"it goes":    {"XMD5", func(c *talk, verb, path string) { c.Close() }, "closed the connection"},
	} {
		t.Run(name, func(t *testing.T) {
			srv := hashing(t, files, c.feat, c.answer)
			src := srv.source(t, "")
			src.Timeout = patience
			m := newMove(t, src)
			m.policy(hashPolicy)
			reasons(t, m.run().Quarantined, map[string]string{"a": c.want})
			m.policy(hashPolicy + "  on_missing: publish\n")
			equal(t, m.run().Verdicts, Count{"unverified": 1})
		})
	}
}

// ProFTPD's mod_digest has all of them.
func TestRealServerHash(t *testing.T) {
	srv := servers.Start(t, servers.ProFTPD, servers.Options{})
	content := map[string][]byte{
		"plain": []byte("plain"), "empty": {}, "two words": []byte("w"), `quote"d`: []byte("q"), "number 1 2": []byte("n"),
		"caf\xe9": []byte("latin-1"), "iac\xff": []byte("i"), "big": []byte(random(3 << 20)), "sub/in": []byte("s"),
	}
	for name, data := range content {
		path := filepath.Join(srv.Root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, data, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	s := mustDial(t, liveSource(t, srv, "ftp"))
	features := s.info.Features
	t.Logf("HASH %s", features["HASH"])
	for _, c := range hashCommands() {
		only := map[string]string{c.verb: c.name}
		if _, ok := features[c.verb]; !ok {
			continue
		}
		s.info.Features = only
		for name, data := range content {
			got, command, err := s.Hash(testContext(t), name, int64(len(data)))
			var refused *ReplyError
			if c.verb[0] == 'X' && name == "empty" && errors.As(err, &refused) {
				continue
			}
			digester, derr := integrity.NewDigester(c.alg)
			if derr != nil {
				t.Fatal(derr)
			}
			_, _ = digester.Write(data)
			sums := digester.Sums()
			if err != nil || command != c.String() || !got.Equal(sums[len(sums)-1]) {
				t.Errorf("%s of %q: %s by %q, %v; want %s", c, name, got, command, err, sums[len(sums)-1])
			}
		}
	}
}
