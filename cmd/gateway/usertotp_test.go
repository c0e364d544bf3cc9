package main

import (
	"bytes"
	"image"
	"image/color"
	"io"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	qr "github.com/piglig/go-qr"

	"gateway/auth"
)

// decodeQR reads a QR code in half blocks as a camera would.
func decodeQR(t *testing.T, lines string) string {
	t.Helper()
	const scale = 4
	rows := strings.Split(strings.TrimRight(lines, "\n"), "\n")
	width := utf8.RuneCountInString(rows[0])
	img := image.NewGray(image.Rect(0, 0, width*scale, 2*len(rows)*scale))
	for y, row := range rows {
		for x, r := range []rune(row) {
			for half := range 2 {
				light := r == '█' || r == '▀' && half == 0 || r == '▄' && half == 1
				for px := range scale * scale {
					if light || y == len(rows)-1 { // the quiet zone goes on below
						img.SetGray(x*scale+px%scale, (2*y+half)*scale+px/scale, color.Gray{255})
					}
				}
			}
		}
	}
	text, err := qr.Decode(img)
	if err != nil {
		t.Fatalf("%v\n%s", err, lines)
	}
	return text
}

func TestQR(t *testing.T) {
	factor, _ := auth.NewTOTP("anna")
	for _, user := range []string{"anna", strings.Repeat("a", 64)} {
		url := factor.URL("gateway", user)
		drawn := qrLines(url, false)
		for line := range strings.Lines(drawn) {
			if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > screenWidth || n < 30 {
				t.Errorf("a line of %d columns", n)
			}
		}
		if got := decodeQR(t, drawn); got != url {
			t.Errorf("it reads %q, want %q", got, url)
		}
		if coloured := qrLines(url, true); strings.Count(coloured, "\x1b[0m\n") != strings.Count(drawn, "\n") {
			t.Error("not every line ends the colour")
		}
	}
	if got := qrLines(strings.Repeat("a", 1000), false); got != "" {
		t.Error("wider than a screen")
	}
}

// totpSession is a run of "gateway user totp", answered by reply from the secret that it shows.
func totpSession(t *testing.T, data string, reply func(auth.TOTP) string, args ...string) (code int, out, said string) {
	t.Helper()
	in, answers := io.Pipe()
	shown, show := io.Pipe()
	var all, errs bytes.Buffer
	replied := make(chan struct{})
	go func() {
		defer close(replied)
		answered := false
		buf := make([]byte, 4096)
		for {
			n, err := shown.Read(buf)
			all.Write(buf[:n])
			if err != nil {
				return
			}
			if _, rest, ok := strings.Cut(all.String(), "secret="); ok && !answered {
				answered = true
				secret, _, _ := strings.Cut(rest, "&")
				go func() {
					_, _ = io.WriteString(answers, reply(auth.TOTP{Secret: secret}))
					answers.Close()
				}()
			}
		}
	}()
	code = run(t.Context(), append([]string{"--data", data, "user", "totp"}, args...), streams{in: in, out: show, err: &errs})
	in.Close()
	show.Close()
	<-replied
	return code, all.String(), errs.String()
}

// rightCode guesses the code of now by trying: of a million one to three are right.
func rightCode(f auth.TOTP) string {
	digits := []byte("000000")
	for at := time.Now(); !f.Matches(string(digits), at); {
		for i := len(digits) - 1; i >= 0; i-- {
			if digits[i]++; digits[i] <= '9' {
				break
			}
			digits[i] = '0'
		}
	}
	return string(digits)
}

func TestUserTOTP(t *testing.T) {
	data := t.TempDir()
	must := func(args ...string) {
		t.Helper()
		var out bytes.Buffer
		if code := run(t.Context(), append([]string{"--data", data}, args...), streams{in: strings.NewReader(""), out: &out, err: &out}); code != exitOK {
			t.Fatalf("%v: %s", args, &out)
		}
	}
	read := func() auth.User {
		t.Helper()
		users, err := auth.OpenUsers(data + "/users")
		if err != nil {
			t.Fatal(err)
		}
		u, err := users.Get(t.Context(), "anna")
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	must("user", "add", "anna", "--generate")
	for _, flag := range []string{"--off", "--recovery"} {
		if code, _, said := totpSession(t, data, nil, "anna", flag); code != exitFailed || !strings.Contains(said, "anna has no second factor") {
			t.Errorf("%s: %d %s", flag, code, said)
		}
	}
	for name, reply := range map[string]string{"nothing": "", "three wrong ones": "12\n34\nabcdef\n"} {
		code, out, said := totpSession(t, data, func(auth.TOTP) string { return reply }, "anna")
		if code != exitFailed || !strings.Contains(said, "nothing was changed") || strings.Contains(out, "Recovery codes") || read().TOTP.On() {
			t.Errorf("%s: %d\n%s", name, code, said)
		}
	}
	code, out, said := totpSession(t, data, func(f auth.TOTP) string { return "12\n" + rightCode(f) + "\n" }, "anna", "--issuer", "ACME files")
	on := read()
	if code != exitOK || !on.TOTP.On() || !strings.Contains(out, "otpauth://totp/ACME%20files:anna?secret="+on.TOTP.Secret) || !strings.Contains(out, "Recovery codes") {
		t.Fatalf("%d\n%s%s", code, out, said)
	}
	if on.PasswordHash == "" || len(on.Mounts) != 1 {
		t.Errorf("the user became %+v", on)
	}
	must("user", "totp", "anna", "--recovery")
	if renewed := read().TOTP; renewed.Secret != on.TOTP.Secret || len(renewed.Recovery) != auth.RecoveryCodes || renewed.Recovery[0] == on.TOTP.Recovery[0] {
		t.Errorf("new recovery codes: %+v", renewed)
	}
	must("user", "totp", "anna", "--off")
	if read().TOTP.On() {
		t.Error("it is still on")
	}
}

func TestParseExpiry(t *testing.T) {
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]string{
		"2027-01-31": "2027-01-31T00:00:00Z", "2026-11-30T13:00:00+01:00": "", "2026-11-30T14:00:00+01:00": "2026-11-30T13:00:00Z",
		"90d": "2027-02-28T12:00:00Z", "0d": "", "-1d": "", "2026-11-30": "", "soon": "", "d": "", "99999d": "",
	} {
		at, err := parseExpiry(text, now)
		if (err == nil) != (want != "") || err == nil && at.UTC().Format(time.RFC3339) != want {
			t.Errorf("%q: %v, %v; want %q", text, at, err, want)
		}
	}
	if at, err := parseExpiry("", now); err != nil || !at.IsZero() {
		t.Errorf("none: %v, %v", at, err)
	}
}
