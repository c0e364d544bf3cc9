package config

import (
	"net"
	"net/url"
	"regexp"
	"strings"
)

// MaxCertificates is how many certificates HTTPS can be given, and how many names by ACME.
const MaxCertificates = 100

// TLS is what HTTPS shows and asks for, beside its first certificate.
type TLS struct {
	// Certificates are further ones, chosen by the name that a client asks for.
	Certificates []CertificatePair `yaml:"certificates"`
	// MinTLS is the oldest version that is spoken, 1.2 or 1.3; "" is 1.2.
	MinTLS string `yaml:"min_tls"`
	// ClientCA is a PEM file with the authorities of client certificates, which are asked for as
	// ClientCertificates says: off, optional or required; "" is off.
	ClientCA           string `yaml:"client_ca"`
	ClientCRL          string `yaml:"client_crl"` // a PEM file of lists of those that are revoked
	ClientCertificates string `yaml:"client_certificates"`
	// ClientUser says what in a client certificate is the user's name: cn, or email; "" is cn.
	ClientUser string `yaml:"client_user"`
	// ACME gets certificates from an authority.
	ACME ACME `yaml:"acme"`
}

// CertificatePair is a certificate and its private key, in PEM files.
type CertificatePair struct {
	Certificate string `yaml:"certificate"`
	Key         string `yaml:"key"`
}

// ACME says from whom certificates are had (RFC 8555), and for which names.
type ACME struct {
	// Domains are the host names. None: no ACME.
	Domains []string `yaml:"domains"`
	// Agree says that the authority's terms are agreed to, without which it gives nothing.
	Agree bool `yaml:"agree"`
	// Email is for the authority to write to.
	Email string `yaml:"email"`
	// Directory is the URL of the authority's directory; "" is Let's Encrypt.
	Directory string `yaml:"directory"`
	// CAFile has the authorities of the directory's certificate, in PEM; "" are those of the system.
	CAFile string `yaml:"ca_file"`
	// HTTPListen is where questions over HTTP are answered (HTTP-01); "" answers none.
	HTTPListen string `yaml:"http_listen"`
}

// The values of ClientCertificates and ClientUser.
const (
	ClientOff      = "off"
	ClientOptional = "optional"
	ClientRequired = "required"
	UserByName     = "cn"
	UserByEmail    = "email"
)

// files are the fields that name files, to be made relative to the configuration's folder.
func (t *TLS) files() []*string {
	files := []*string{&t.ClientCA, &t.ClientCRL, &t.ACME.CAFile}
	for i := range t.Certificates {
		files = append(files, &t.Certificates[i].Certificate, &t.Certificates[i].Key)
	}
	return files
}

// AsksClients reports whether clients are asked for a certificate.
func (t TLS) AsksClients() bool {
	return t.ClientCertificates != "" && t.ClientCertificates != ClientOff
}

func (t TLS) validate(bad func(key, format string, args ...any)) {
	if len(t.Certificates) > MaxCertificates {
		bad("https.certificates", "there are %d, at most %d can be", len(t.Certificates), MaxCertificates)
	}
	for _, p := range t.Certificates {
		if p.Certificate == "" || p.Key == "" {
			bad("https.certificates", "each needs both, a certificate and its key")
		}
	}
	if !oneOf(t.MinTLS, "", "1.2", "1.3") {
		bad("https.min_tls", "%q is not one of 1.2, 1.3", t.MinTLS)
	}
	if !oneOf(t.ClientCertificates, "", ClientOff, ClientOptional, ClientRequired) {
		bad("https.client_certificates", "%q is not one of off, optional, required", t.ClientCertificates)
	}
	if !oneOf(t.ClientUser, "", UserByName, UserByEmail) {
		bad("https.client_user", "%q is not one of cn, email", t.ClientUser)
	}
	switch {
	case t.AsksClients() && t.ClientCA == "":
		bad("https.client_certificates", "client_ca is missing: a PEM file with the authorities that they have to be from")
	case t.ClientCA != "" && t.ClientCertificates == "":
		bad("https.client_ca", "client_certificates is missing: write optional, or required, or off")
	case t.ClientCRL != "" && t.ClientCA == "":
		bad("https.client_crl", "client_ca is missing: the authorities whose lists they are")
	}
	t.ACME.validate(bad)
}

// hostName is a host name without wildcards (RFC 1123 section 2.1), of two labels at least.
var hostName = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

func (a ACME) validate(bad func(key, format string, args ...any)) {
	if len(a.Domains) == 0 {
		if a.Agree || a.Email+a.Directory+a.CAFile+a.HTTPListen != "" {
			bad("https.acme", "domains is missing: the host names to get certificates for")
		}
		return
	}
	if len(a.Domains) > MaxCertificates {
		bad("https.acme.domains", "there are %d, at most %d can be", len(a.Domains), MaxCertificates)
	}
	for _, d := range a.Domains {
		switch {
		case strings.Contains(d, "*"):
			bad("https.acme.domains", "%q: wildcards cannot be had this way; name each host", d)
		case net.ParseIP(d) != nil || len(d) > 253 || !hostName.MatchString(d):
			bad("https.acme.domains", "%q is not a host name; write for example files.example.org, in small letters", d)
		}
	}
	if !a.Agree {
		bad("https.acme.agree", "must be true: the authority gives certificates only to those who agree to its terms (of Let's Encrypt: https://letsencrypt.org/repository/)")
	}
	if u, err := url.Parse(a.Directory); a.Directory != "" && (err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil) {
		bad("https.acme.directory", "it is not an https URL; write the address of the authority's directory")
	}
	if a.HTTPListen != "" {
		if _, err := net.ResolveTCPAddr("tcp", a.HTTPListen); err != nil {
			bad("https.acme.http_listen", "%q is not an address to listen on; write host:port, for example \":80\"", a.HTTPListen)
		}
	}
}
