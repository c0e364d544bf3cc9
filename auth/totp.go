package auth

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1" // HMAC-SHA-1 is what authenticator apps have (RFC 6238)
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// The second factor is a time-based one-time password as authenticator apps have it by default:
// RFC 6238 with SHA-1, six digits, and steps of 30 s.
const (
	totpDigits = 6
	totpPeriod = 30 * time.Second
	totpSkew   = 1  // steps by which the clocks may differ, either way
	totpSecret = 20 // bytes of a new secret (RFC 4226, section 4, R6)

	minTOTPSecret = 16 // bytes, RFC 4226
	maxTOTPSecret = 64

	// RecoveryCodes is how many a user gets at a time.
	RecoveryCodes = 10
	recoveryChars = 16  // of 5 random bits each
	maxCode       = 256 // bytes of what is given as a code; longer ones are refused unread
)

// TOTP is a user's second factor. The zero value is none.
type TOTP struct {
	Secret   string   `yaml:"secret,omitempty"`   // base32 without padding, of 16 to 64 bytes; "" means no second factor
	Recovery []string `yaml:"recovery,omitempty"` // SHA-256 of recovery codes, in hex; each is good once
}

// On reports whether there is one.
func (t TOTP) On() bool { return t.Secret != "" }

// NewTOTP makes a secret, and recovery codes that are to be shown once: of them only hashes are kept.
func NewTOTP(user string) (t TOTP, recovery []string) {
	raw := make([]byte, totpSecret)
	_, _ = rand.Read(raw) // never fails (crypto/rand)
	t.Secret = noPadding.EncodeToString(raw)
	for range RecoveryCodes {
		code := randomText(recoveryChars)
		recovery = append(recovery, code)
		t.Recovery = append(t.Recovery, hashSecret("recovery code", user, code))
	}
	return t, recovery
}

// URL is the form in which authenticator apps take it, mostly as a QR code: "otpauth" (Google
// Authenticator's Key URI Format). What the app's defaults are is left out, since that keeps the QR code small.
func (t TOTP) URL(issuer, user string) string {
	issuer = strings.ReplaceAll(issuer, ":", "-") // which would end it
	q := "secret=" + t.Secret + "&issuer=" + url.PathEscape(issuer)
	return "otpauth://totp/" + url.PathEscape(issuer) + ":" + url.PathEscape(user) + "?" + q
}

// Matches reports whether the code is right at a time, with what clocks may differ. It does not spend it.
func (t TOTP) Matches(code string, at time.Time) bool {
	_, ok := t.step(digitsOf(code), at)
	return ok
}

// step finds the time step whose code it is.
func (t TOTP) step(digits string, at time.Time) (step int64, ok bool) {
	secret, err := t.secret()
	if err != nil || len(digits) != totpDigits {
		return 0, false
	}
	now := at.Unix() / int64(totpPeriod/time.Second)
	for s := now - totpSkew; s <= now+totpSkew; s++ {
		if subtle.ConstantTimeCompare([]byte(hotp(secret, s)), []byte(digits)) == 1 {
			step, ok = s, true
		}
	}
	return step, ok
}

// id tells one secret of a user from another, and does not tell the secret.
func (t TOTP) id(user string) string { return "totp " + hashSecret("totp", user, t.Secret) }

var noPadding = base32.StdEncoding.WithPadding(base32.NoPadding)

func (t TOTP) secret() ([]byte, error) { return noPadding.DecodeString(t.Secret) }

func (t TOTP) check() error {
	if !t.On() {
		if len(t.Recovery) > 0 {
			return errors.New("totp has recovery codes and no secret; set it up with: gateway user totp NAME")
		}
		return nil
	}
	if raw, err := t.secret(); err != nil || len(raw) < minTOTPSecret || len(raw) > maxTOTPSecret {
		return fmt.Errorf("totp.secret is not base32 (capital letters and 2 to 7, without =) of %d to %d bytes; set it up with: gateway user totp NAME", minTOTPSecret, maxTOTPSecret)
	}
	if len(t.Recovery) > RecoveryCodes {
		return fmt.Errorf("totp.recovery has more than %d codes", RecoveryCodes)
	}
	for _, h := range t.Recovery {
		if !isHash(h) {
			return errors.New("totp.recovery has what is not a hash; make new codes with: gateway user totp NAME --recovery")
		}
	}
	return nil
}

// hotp is RFC 4226, section 5.3, with six digits.
func hotp(secret []byte, counter int64) string {
	mac := hmac.New(sha1.New, secret)
	mac.Write(binary.BigEndian.AppendUint64(nil, uint64(counter)))
	sum := mac.Sum(nil)
	at := sum[len(sum)-1] & 0xf
	n := binary.BigEndian.Uint32(sum[at:]) & 0x7fffffff
	return fmt.Sprintf("%0*d", totpDigits, n%1_000_000)
}

// digitsOf is a code without what people put between its digits; "" if it is none.
func digitsOf(code string) string {
	code = withoutGaps(code)
	for _, r := range code {
		if r < '0' || r > '9' {
			return ""
		}
	}
	return code
}

// withoutGaps removes what groups characters. Of what is too long nothing is left.
func withoutGaps(s string) string {
	if len(s) > maxCode {
		return ""
	}
	return strings.Map(func(r rune) rune {
		if r == ' ' || r == '-' || r == '\t' || r == '\r' || r == '\n' || r == '\u00a0' {
			return -1
		}
		return r
	}, s)
}

// randomAlphabet is Crockford's base32: nothing in it looks like anything else.
const randomAlphabet = "0123456789abcdefghjkmnpqrstvwxyz"

// randomText is n characters of 5 random bits each, in groups of four. People may type it back in either case,
// with or without the dashes ([plainText]).
func randomText(n int) string {
	raw := make([]byte, n)
	_, _ = rand.Read(raw) // never fails (crypto/rand)
	var b strings.Builder
	for i, r := range raw {
		if i > 0 && i%4 == 0 {
			b.WriteByte('-')
		}
		b.WriteByte(randomAlphabet[r&31])
	}
	return b.String()
}

var lookAlikes = strings.NewReplacer("o", "0", "i", "1", "l", "1")

// plainText is what was typed of a randomText of n characters, in one form; "" if it is none.
func plainText(typed string, n int) string {
	s := lookAlikes.Replace(strings.ToLower(withoutGaps(typed)))
	if len(s) != n || strings.Trim(s, randomAlphabet) != "" {
		return ""
	}
	return s
}

// hashSecret is how a randomText, or what else has at least 80 random bits, is kept: guessing that takes too
// long with any hash, so that one of little cost will do.
func hashSecret(kind, user, secret string) string {
	sum := sha256.Sum256([]byte("gateway " + kind + "\n" + user + "\n" + strings.ToLower(withoutGaps(secret))))
	return hex.EncodeToString(sum[:])
}

func isHash(s string) bool {
	raw, err := hex.DecodeString(s)
	return err == nil && len(raw) == sha256.Size && s == strings.ToLower(s)
}

func sameHash(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
