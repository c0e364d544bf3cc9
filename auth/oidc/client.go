package oidc

import (
	"errors"
	"fmt"
	"io"
	"net/http"
)

// boundedClient is the client for requests to the provider. None takes longer than requestTime, no answer is
// longer than maxAnswer, and none is followed to where it would be sent in clear.
func boundedClient(c Config) *http.Client {
	client := http.Client{}
	if c.Client != nil {
		client = *c.Client
	}
	if client.Transport == nil {
		client.Transport = http.DefaultTransport
	}
	client.Transport = bounded{client.Transport}
	client.Timeout = requestTime
	client.Jar = nil
	client.CheckRedirect = func(r *http.Request, via []*http.Request) error {
		if len(via) >= 5 {
			return errors.New("too many redirects")
		}
		return safeURL(r.URL.String())
	}
	return &client
}

// bounded cuts answers that are too long off, with an error.
type bounded struct{ http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := b.RoundTripper.RoundTrip(r)
	if err == nil {
		resp.Body = &boundedBody{resp.Body, maxAnswer}
	}
	return resp, err
}

type boundedBody struct {
	io.ReadCloser
	left int
}

// Read implements io.Reader.
func (b *boundedBody) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, fmt.Errorf("the answer of the login provider is longer than %d bytes", maxAnswer)
	}
	n, err := b.ReadCloser.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}
