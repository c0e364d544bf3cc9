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
	var err error
	src.KeyPassphrase, err = keyPassphrase(f.PassphraseFile)
	return err
}

// keyPassphrase reads the passphrase of a private key from a file, or else the environment.
func keyPassphrase(file string) (string, error) {
	if file == "" {
		return os.Getenv(passphraseVariable), nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("passphrase file: %w", err)
	}
	return strings.TrimRight(string(data), "\r\n"), nil
}
