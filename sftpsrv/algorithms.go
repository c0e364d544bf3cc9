package sftpsrv

import (
	"slices"

	"golang.org/x/crypto/ssh"
)

// algorithmSet is what is offered to clients.
type algorithmSet struct {
	keyExchanges, macs []string
	cipherFamilies     [][]string // the first of which the client has a cipher counts
	hostRSA, userKeys  []string   // signatures with RSA host keys, with keys of users
}

// modern is the default, best first. No SHA-1, no NIST curves and no finite fields for the key
// exchange, no encrypt-and-MAC. ChaCha20 comes last: without assembly for it the
// library runs it at half the speed of AES-GCM.
func modern() algorithmSet {
	return algorithmSet{
		keyExchanges: []string{ssh.KeyExchangeMLKEM768X25519, ssh.KeyExchangeCurve25519},
		cipherFamilies: [][]string{
			{ssh.CipherAES128GCM, ssh.CipherAES256GCM},
			{ssh.CipherAES256CTR, ssh.CipherAES192CTR, ssh.CipherAES128CTR},
			{ssh.CipherChaCha20Poly1305},
		},
		macs:     []string{ssh.HMACSHA256ETM, ssh.HMACSHA512ETM},
		hostRSA:  []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256},
		userKeys: ssh.SupportedAlgorithms().PublicKeyAuths,
	}
}

// legacy adds what clients need that are fifteen years old, all of it after what is good: SHA-1, CBC,
// encrypt-and-MAC, ssh-rsa. RC4 and DSA stay out.
func legacy() algorithmSet {
	a := modern()
	a.keyExchanges = append(a.keyExchanges,
		ssh.KeyExchangeECDHP256, ssh.KeyExchangeECDHP384, ssh.KeyExchangeECDHP521,
		ssh.KeyExchangeDH16SHA512, ssh.KeyExchangeDH14SHA256, ssh.KeyExchangeDHGEXSHA256,
		ssh.InsecureKeyExchangeDHGEXSHA1, ssh.InsecureKeyExchangeDH14SHA1, ssh.InsecureKeyExchangeDH1SHA1)
	a.cipherFamilies = append(a.cipherFamilies, []string{ssh.InsecureCipherAES128CBC, ssh.InsecureCipherTripleDESCBC})
	a.macs = append(a.macs, ssh.HMACSHA256, ssh.HMACSHA512, ssh.HMACSHA1, ssh.InsecureHMACSHA196)
	a.hostRSA = append(a.hostRSA, ssh.KeyAlgoRSA)
	a.userKeys = append(a.userKeys, ssh.KeyAlgoRSA)
	return a
}

// config is what this client is offered.
func (a algorithmSet) config(hello clientHello) ssh.Config {
	return ssh.Config{KeyExchanges: a.keyExchanges, Ciphers: hello.chooseCiphers(a.cipherFamilies), MACs: a.macs}
}

// lacks returns what was agreed on and is not in a. signature is that of the user's key, or "".
func (a algorithmSet) lacks(agreed ssh.NegotiatedAlgorithms, signature string) []string {
	ciphers := slices.Concat(a.cipherFamilies...)
	var missing []string
	note := func(name string, among []string) {
		if name != "" && !slices.Contains(among, name) && !slices.Contains(missing, name) {
			missing = append(missing, name)
		}
	}
	note(agreed.KeyExchange, append(slices.Clone(a.keyExchanges), "curve25519-sha256@libssh.org")) // the same under its first name
	if agreed.HostKey == ssh.KeyAlgoRSA {
		note(agreed.HostKey, a.hostRSA)
	}
	for _, d := range []ssh.DirectionAlgorithms{agreed.Read, agreed.Write} {
		note(d.Cipher, ciphers)
		note(d.MAC, a.macs)
	}
	note(signature, a.userKeys)
	return missing
}
