package config

// SFTP is the SSH front end.
type SFTP struct {
	Listener `yaml:",inline"`
	// UserCA is a file with the public keys of the authorities for user certificates, RevokedKeys one
	// with the keys and certificates that are not good any more (auth.NewTrust); "": none.
	UserCA      string `yaml:"user_ca"`
	RevokedKeys string `yaml:"revoked_keys"`
}

// files are the fields that name files, to be made relative to the configuration's folder.
func (s *SFTP) files() []*string { return []*string{&s.UserCA, &s.RevokedKeys} }
