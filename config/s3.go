package config

import (
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"
)

// S3 is a bucket of an S3-compatible object store, or a folder of one.
type S3 struct {
	// Endpoint is the URL of the store, https://host or https://host:port. http:// is only
	// for a store on this machine.
	Endpoint string `yaml:"endpoint"`
	Bucket   string `yaml:"bucket"`
	// Prefix is the folder of the bucket that is the storage; "" is the bucket.
	Prefix string `yaml:"prefix"`
	Region string `yaml:"region"`
	// The access key and the secret key are in a file or an environment variable each.
	AccessKeyFile string `yaml:"access_key_file"`
	AccessKeyEnv  string `yaml:"access_key_env"`
	SecretKeyFile string `yaml:"secret_key_file"`
	SecretKeyEnv  string `yaml:"secret_key_env"`
	// CAFile holds the authorities of the store's certificate; "" means those of the system.
	CAFile string `yaml:"ca_file"`
	// Memory is what one transfer may hold, such as 64MiB, and PartSize what it sends
	// at once; "" means the default.
	Memory   string `yaml:"memory"`
	PartSize string `yaml:"part_size"`
	// Timeout is for how long the store may be silent; 0 means the default.
	Timeout time.Duration `yaml:"timeout"`
}

// Host is the endpoint without its scheme, and whether it is without TLS.
func (s S3) Host() (host string, insecure bool) {
	u, err := url.Parse(s.Endpoint)
	if err != nil {
		return "", false
	}
	return u.Host, u.Scheme == "http"
}

// Keys reads the access key and the secret key from where the configuration says they are.
func (s S3) Keys() (access, secret string, err error) {
	if access, err = secretFrom(s.AccessKeyFile, s.AccessKeyEnv); err != nil {
		return "", "", fmt.Errorf("access key: %w", err)
	}
	if secret, err = secretFrom(s.SecretKeyFile, s.SecretKeyEnv); err != nil {
		return "", "", fmt.Errorf("secret key: %w", err)
	}
	return strings.TrimSpace(access), strings.TrimSpace(secret), nil // no key has space around it
}

func (s S3) validate(bad func(key, format string, args ...any)) {
	const example = "for example https://s3.example.org"
	u, err := url.Parse(s.Endpoint)
	switch {
	case s.Endpoint == "":
		bad(".endpoint", "is missing: the URL of the store, %s", example)
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		bad(".endpoint", "it is not a URL of a store; write %s", example)
	case u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "":
		bad(".endpoint", "write only scheme, host and port, %s; bucket and keys have keys of their own", example)
	case u.Scheme == "http" && !isLoopback(u.Hostname()):
		bad(".endpoint", "http:// would send the files unprotected; write https://")
	}
	if s.Bucket == "" {
		bad(".bucket", "is missing: the name of a bucket, which must exist")
	}
	if (s.AccessKeyFile == "") == (s.AccessKeyEnv == "") {
		bad(".access_key_file", "give access_key_file or access_key_env, and not both")
	}
	if (s.SecretKeyFile == "") == (s.SecretKeyEnv == "") {
		bad(".secret_key_file", "give secret_key_file or secret_key_env, and not both")
	}
	if s.Timeout < 0 {
		bad(".timeout", "must be longer than 0, for example 2m")
	}
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// files are the fields that name files, to be made relative to the configuration's folder.
func (s *S3) files() []*string { return []*string{&s.AccessKeyFile, &s.SecretKeyFile, &s.CAFile} }
