package ftpbridge

import (
	"fmt"

	"golang.org/x/crypto/ssh/knownhosts"
)

// CheckFiles tries the files that the source names, as a login would read them: authorities, known
// hosts, and the private key with its passphrase. Nothing is asked of the network. The errors wrap
// ErrTLS and ErrSource.
func (s Source) CheckFiles() []error {
	if !s.sftp() {
		if _, err := s.tlsConfig(); err != nil {
			return []error{err}
		}
		return nil
	}
	var errs []error
	if s.KeyFile != "" {
		if _, err := s.signer(); err != nil {
			errs = append(errs, err)
		}
	}
	if s.KnownHosts != "" {
		if _, err := knownhosts.New(s.KnownHosts); err != nil {
			errs = append(errs, fmt.Errorf("%w: known hosts: %w", ErrSource, err))
		}
	}
	return errs
}
