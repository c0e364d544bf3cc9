package main

import (
	"fmt"
	"os"
	"strings"

	"gateway/ftpbridge"
)

// passphraseVariable may hold the passphrase of the private key.
const passphraseVariable = "GATEWAY_SOURCE_PASSPHRASE"

// sshFlags are what can be said about an SFTP server beside what goes for all.
type sshFlags struct {
	KnownHosts     string `help:"Host keys that are known, as OpenSSH keeps them (SFTP)." type:"path" placeholder:"FILE"`
	Key            string `help:"Private key to log in with (SFTP)." type:"path" placeholder:"FILE"`
	PassphraseFile string `help:"File that holds the passphrase of the private key (default: $GATEWAY_SOURCE_PASSPHRASE)." type:"path" placeholder:"FILE"`
	LegacySSH      bool   `help:"Allow algorithms that are not safe any more, for old servers (SFTP)." name:"legacy-ssh"`
}

// add puts them into a source.
func (f sshFlags) add(src *ftpbridge.Source) error {
	src.KnownHosts, src.KeyFile, src.LegacySSH = f.KnownHosts, f.Key, f.LegacySSH
	src.KeyPassphrase = os.Getenv(passphraseVariable)
	if f.PassphraseFile != "" {
		data, err := os.ReadFile(f.PassphraseFile)
		if err != nil {
			return fmt.Errorf("passphrase file: %w", err)
		}
		src.KeyPassphrase = strings.TrimRight(string(data), "\r\n")
	}
	return nil
}
