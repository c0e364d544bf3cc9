package ftpbridge

import (
	"strings"
	"testing"
	"time"
)

func TestParseSource(t *testing.T) {
	for _, tc := range []struct{ raw, addr, user, pass, path string }{
		{"ftp://h", "h:21", "anonymous", "anonymous@", ""},
		{"ftps://h/", "h:990", "anonymous", "anonymous@", ""},
		{"ftpes://u:p%40w@h:2121/a/b", "h:2121", "u", "p@w", "a/b"},
		{"ftp://u@h//abs/x", "h:21", "u", "", "/abs/x"},
		{"ftp://u@h/%2Fabs", "h:21", "u", "", "/abs"},
		{"ftp://u@h:21/a@b", "h:21", "u", "", "a@b"},
		{"ftp://h/a@b", "h:21", "anonymous", "anonymous@", "a@b"},
		{"ftp://h:21/a%40b", "h:21", "anonymous", "anonymous@", "a@b"},
		{"ftp://[::1]:2121/caf%E9", "[::1]:2121", "anonymous", "anonymous@", "caf\xe9"},
	} {
		s, err := ParseSource(tc.raw)
		if err != nil {
			t.Errorf("%s: %v", tc.raw, err)
			continue
		}
		if s.addr() != tc.addr || s.user() != tc.user || s.password() != tc.pass || s.path() != tc.path {
			t.Errorf("%s: %q %q %q %q", tc.raw, s.addr(), s.user(), s.password(), s.path())
		}
		if strings.Contains(s.Redacted(), "p%40w") || s.String() != s.Redacted() {
			t.Errorf("redacted %s", s)
		}
	}
	s, _ := ParseSource("ftp://u@h")
	if s.Password = "later"; s.password() != "later" {
		t.Error("Password is not used")
	}
}

// A job is known by its URL: what means the same must not begin another ledger.
func TestParseSourceSpellings(t *testing.T) {
	for want, same := range map[string][]string{
		"ftp://h/":                 {"ftp://h", "FTP://H/", "ftp://h:21", "ftp://h:/"},
		"ftp://u@h/pub":            {"ftp://u@h/pub/", "ftp://u@h:21/pub//"},
		"ftp://h//":                {"ftp://h//"},
		"ftp://h/%2Fa%20b":         {"ftp://h/%2Fa%20b/"},
		"ftp://h/a%2F":             {"ftp://h/a%2F"},
		"ftp://h:2121/Pub":         {"ftp://H:2121/Pub/"},
		"ftps://h/a":               {"ftps://h:990/a"},
		"sftp://u@h/a":             {"sftp://u@h:22/a/"},
		"ftp://[fe80::1%25Eth0]/a": {"ftp://[fe80::1%25Eth0]:21/a"},
		"ftp://h/D:[A.B]":          {"ftp://h/D:[A.B]/"},
	} {
		for _, raw := range same {
			s, err := ParseSource(raw)
			if err != nil {
				t.Errorf("%s: %v", raw, err)
			} else if got := s.Redacted(); got != want {
				t.Errorf("%s becomes %s, want %s", raw, got, want)
			}
		}
	}
}

func TestParseSourceErrors(t *testing.T) {
	for _, raw := range []string{
		"", "h", "http://u:secret@h/", "ftp://", "ftp:///path", "ftp://u:secret@h:0/", "ftp://u:secret@h:99999",
		"ftp://u:secret@h:x/", "ftp://u:secret/with@h/", "ftp://u:sec%ret secret@h", "ftp://u:secret@h/a?b", "ftp://u:secret@h/a#b",
		"ftp://u:12/secret@h/", "ftp://u:12?secret@h", "ftp://u:12#secret@h", "ftp://u:/secret@h", "ftp://u:?secret@h", "ftp://u:99999/secret@h",
		"ftp://u:secret@h/a%0D%0ADELE", "ftp://u:secret%0D%0ADELE@h/", "ftp://u%0A:secret@h", "ftp://u:secret", "u:secret@h", "ftp://u:secret@h/\x7f",
		"ftp://u:secret@h:21:22/", "ftp://u:secret@fe80::1/",
	} {
		_, err := ParseSource(raw)
		if err == nil {
			t.Errorf("%q is accepted", raw)
			continue
		}
		want(t, err, []error{ErrSource})
	}
}

func TestSourceLimits(t *testing.T) {
	good, err := ParseSource("ftp://h")
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Source){
		"timeout":     func(s *Source) { s.Timeout = time.Millisecond },
		"connections": func(s *Source) { s.Connections = 17 },
		"charset":     func(s *Source) { s.Charset = "klingon" },
		"fingerprint": func(s *Source) { s.Fingerprint = "abcd" },
		"format":      func(s *Source) { s.Format = "klingon" },
		"certificate": func(s *Source) { s.Fingerprint = strings.Repeat("ab", 32) },
		"authority":   func(s *Source) { s.CAFile = "ca.pem" },
		"no URL":      func(s *Source) { s.URL = nil },
	} {
		s := good
		change(&s)
		if _, err := Dial(testContext(t), s); err == nil {
			t.Errorf("%s is accepted", name)
		} else {
			want(t, err, []error{ErrSource})
		}
	}
	fp, err := ParseSource("ftpes://h")
	if err != nil {
		t.Fatal(err)
	}
	fp.Fingerprint = strings.Repeat("AB:", 31) + "ab"
	if err := fp.validate(); err != nil {
		t.Error(err)
	}
}
