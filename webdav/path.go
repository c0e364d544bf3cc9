package webdav

import (
	"net"
	"net/http"
	"net/url"
	"strings"

	"gateway/storage"
)

// parsePath turns the escaped path of a URL into a clean name. Each segment is
// decoded by itself and once, so that %2F cannot become a separator and %252e
// no dot. Empty segments are dropped; "." and ".." are refused, not resolved.
func parsePath(escaped string) (name string, slash bool, err error) {
	if escaped == "" || escaped == "/" {
		return "", true, nil
	}
	rest, ok := strings.CutPrefix(escaped, "/")
	if !ok {
		return "", false, refuse(http.StatusBadRequest, "the path does not begin with a slash")
	}
	var parts []string
	for segment := range strings.SplitSeq(rest, "/") {
		part, err := url.PathUnescape(segment)
		if err != nil {
			return "", false, refuse(http.StatusBadRequest, "the path has a bad percent sign")
		}
		if part == "" {
			continue
		}
		if part == "." || part == ".." || strings.ContainsAny(part, "/\x00") {
			return "", false, refuse(http.StatusBadRequest, "this name is not allowed")
		}
		parts = append(parts, part)
	}
	name = strings.Join(parts, "/")
	if name != "" {
		if name, err = storage.CleanName(name); err != nil {
			return "", false, err
		}
	}
	return name, strings.HasSuffix(escaped, "/"), nil
}

// href is the escaped absolute path of a name, with a slash after a directory.
func href(name string, dir bool) string {
	if name == "" {
		return "/"
	}
	var b strings.Builder
	for part := range strings.SplitSeq(name, "/") {
		b.WriteByte('/')
		b.WriteString(url.PathEscape(part))
	}
	if dir {
		b.WriteByte('/')
	}
	return b.String()
}

// resolve gives the name that a URI in a header (Destination, If) stands for.
// local is false where it names another server.
func (q *request) resolve(ref string) (name string, local bool, err error) {
	u, err := url.Parse(ref)
	if err != nil || u.Opaque != "" || u.RawQuery != "" || u.Fragment != "" {
		return "", false, refuse(http.StatusBadRequest, "a header names a bad URL")
	}
	switch {
	case u.Scheme == "" && u.Host == "":
		if !strings.HasPrefix(ref, "/") {
			return "", false, refuse(http.StatusBadRequest, "a header needs an absolute URL or path")
		}
	case u.Scheme != "http" && u.Scheme != "https":
		return "", false, nil
	// The scheme is not compared: a proxy in front may have ended TLS.
	case !strings.EqualFold(withoutDefaultPort(u.Host), withoutDefaultPort(q.Host)):
		return "", false, nil
	}
	name, _, err = parsePath(u.EscapedPath())
	return name, true, err
}

func withoutDefaultPort(hostport string) string {
	host, port, err := net.SplitHostPort(hostport)
	if err != nil {
		return strings.Trim(hostport, "[]")
	}
	if port == "443" || port == "80" || port == "" {
		return host
	}
	return host + "|" + port
}

// destination is the name in the Destination header (RFC 4918 section 10.3).
func (q *request) destination() (string, error) {
	values := q.Header.Values("Destination")
	if len(values) != 1 || values[0] == "" {
		return "", refuse(http.StatusBadRequest, "one Destination header is needed")
	}
	name, local, err := q.resolve(values[0])
	if err != nil {
		return "", err
	}
	if !local {
		return "", refuse(http.StatusBadGateway, "the destination is on another server")
	}
	return name, nil
}

// The values of the Depth header.
const (
	depthZero     = 0
	depthOne      = 1
	depthInfinity = -1
)

// depth reads the Depth header (RFC 4918 section 10.2).
func (q *request) depth(absent int) (int, error) {
	switch strings.ToLower(q.Header.Get("Depth")) {
	case "":
		return absent, nil
	case "0":
		return depthZero, nil
	case "1":
		return depthOne, nil
	case "infinity":
		return depthInfinity, nil
	}
	return 0, refuse(http.StatusBadRequest, "the Depth header is not 0, 1 or infinity")
}
