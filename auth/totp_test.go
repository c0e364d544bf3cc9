package auth

import (
	"net/url"
	"strings"
	"testing"
	"time"
)

// The secret of the test values in RFC 4226, appendix D, and RFC 6238, appendix B.
const rfcSecret = "12345678901234567890"

func TestHOTP(t *testing.T) {
	for counter, want := range []string{"755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871", "520489"} {
		if got := hotp([]byte(rfcSecret), int64(counter)); got != want {
			t.Errorf("HOTP of %d is %s, want %s", counter, got, want)
		}
	}
}

func TestTOTP(t *testing.T) {
	secret := TOTP{Secret: noPadding.EncodeToString([]byte(rfcSecret))}
	for at, eight := range map[int64]string{ // RFC 6238 has eight digits, of which the last six are those of six
		59: "94287082", 1111111109: "07081804", 1111111111: "14050471", 1234567890: "89005924", 2000000000: "69279037", 20000000000: "65353130",
	} {
		code := eight[2:]
		for _, typed := range []string{code, code[:3] + " " + code[3:], " " + code[:3] + "-" + code[3:] + "\r\n"} {
			if !secret.Matches(typed, time.Unix(at, 0)) {
				t.Errorf("at %d: %q does not match", at, typed)
			}
		}
		// One step of difference between the clocks is let pass, two are not.
		begin := at / 30 * 30
		for when, want := range map[int64]bool{begin - 31: false, begin - 30: true, begin + 59: true, begin + 60: false} {
			if got := secret.Matches(code, time.Unix(when, 0)); when >= 0 && got != want {
				t.Errorf("code of %d at %d: %v, want %v", at, when, got, want)
			}
		}
		for _, bad := range []string{"", eight, code[:5], code + "0", "+" + code[1:], "٠" + code[1:], strings.Repeat(" ", maxCode) + code} {
			if secret.Matches(bad, time.Unix(at, 0)) {
				t.Errorf("at %d: %q matches", at, bad)
			}
		}
	}
	if (TOTP{}).Matches("000000", time.Now()) || (TOTP{Secret: "!"}).Matches("", time.Now()) {
		t.Error("a code of no secret matches")
	}
}

func TestNewTOTP(t *testing.T) {
	one, codes := NewTOTP("anna")
	two, _ := NewTOTP("anna")
	if one.Secret == two.Secret || one.Recovery[0] == two.Recovery[0] || len(codes) != RecoveryCodes || one.check() != nil {
		t.Errorf("%v %v %v", one, two, codes)
	}
	u, err := url.Parse(one.URL("files: of ACME", "anna@example.org"))
	if err != nil || u.Scheme != "otpauth" || u.Host != "totp" || u.Path != "/files- of ACME:anna@example.org" ||
		u.Query().Get("secret") != one.Secret || u.Query().Get("issuer") != "files- of ACME" {
		t.Errorf("%v, %v", u, err)
	}
	for _, bad := range []TOTP{
		{Recovery: one.Recovery}, {Secret: "JBSWY3DP"}, {Secret: one.Secret + "="}, {Secret: strings.ToLower(one.Secret)},
		{Secret: strings.Repeat("A", 256)}, {Secret: one.Secret, Recovery: []string{codes[0]}},
		{Secret: one.Secret, Recovery: append(one.Recovery, two.Recovery...)},
	} {
		if err := bad.check(); err == nil || !strings.Contains(err.Error(), "gateway user totp") && !strings.Contains(err.Error(), "more than") {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

// What was made is read back however it is typed, and nothing else is.
func FuzzPlainText(f *testing.F) {
	f.Add("0123-4567-89ab-cdef")
	f.Add("OIl3 4567 89AB cdef\n")
	f.Add("\xff\u212a") // the Kelvin sign, whose lower case is k
	f.Fuzz(func(t *testing.T, typed string) {
		plain := plainText(typed, recoveryChars)
		if plain != "" && (len(plain) != recoveryChars || plainText(plain, recoveryChars) != plain || strings.Trim(plain, randomAlphabet) != "") {
			t.Errorf("%q became %q", typed, plain)
		}
		if d := digitsOf(typed); strings.Trim(d, "0123456789") != "" || len(d) > len(typed) {
			t.Errorf("%q became %q", typed, d)
		}
		made := randomText(appChars)
		if got := plainText(strings.ToUpper(strings.ReplaceAll(made, "-", " ")), appChars); got != strings.ReplaceAll(made, "-", "") {
			t.Errorf("%q became %q", made, got)
		}
	})
}
