package main

import (
	"errors"

	"gateway/config"
	"gateway/internal/certificate"
	"gateway/state/postgres"
)

// checkConfiguration finds the mistakes that serve would meet, and those that its jobs would meet
// later: it tries every file and every variable that the configuration names. It asks nothing of
// the network and makes nothing.
func checkConfiguration(c config.Config) error {
	errs := []error{checkState(c)}
	for _, name := range c.StorageNames() {
		errs = append(errs, checkMount(c, name), checkBucket(c, name))
	}
	for _, name := range c.SourceNames() {
		errs = append(errs, checkSource(c, name), checkSourceFiles(c, name))
	}
	for _, name := range c.PushNames() {
		errs = append(errs, checkPush(c, name), checkPushFiles(c, name))
	}
	errs = append(errs, certificate.Check(configuredCertificates(c)))
	for _, name := range c.ProviderNames() {
		_, err := newProvider(c, name, nil)
		errs = append(errs, err)
	}
	_, badTrust := loadTrust(c)
	_, badRekey := rekeyBytes(c.SFTP)
	_, _, badBandwidth := readBandwidth(c)
	_, badAudit := auditOptions(c)
	return errors.Join(append(errs, badTrust, badRekey, badBandwidth, badAudit, checkEvents(c))...)
}

// checkState tries what the connection to a shared database needs, without making one.
func checkState(c config.Config) error {
	if !c.State.Shared() {
		return nil
	}
	_, err := c.State.Password()
	if err != nil {
		err = c.Mistake("state", err)
	}
	if uerr := postgres.CheckURL(c.State.URL); uerr != nil {
		err = errors.Join(err, c.Mistake("state.url", uerr))
	}
	return err
}

// checkServerFiles tries the files and variables that the login to a server needs.
func checkServerFiles(c config.Config, key, urlKey, url string, s config.Server) error {
	var errs []error
	src, mistaken := configuredServer(c, key, urlKey, url, s)
	if err := addSecrets(c, key, s, &src); err != nil {
		errs = append(errs, err)
	} else if mistaken == nil { // else told by who checks the values
		for _, err := range src.CheckFiles() {
			errs = append(errs, c.Mistake(key, err))
		}
	}
	return errors.Join(errs...)
}
