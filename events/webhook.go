package events

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	maxAnswer    = 4 << 10 // bytes of an answer that are read
	secretPrefix = "whsec_"
	minSecret    = 16 // bytes
)

// Webhook posts events as JSON, signed as the Standard Webhooks specification says (webhook-id,
// webhook-timestamp, webhook-signature). It does not follow redirects.
type Webhook struct {
	URL    string
	Secret func() ([]byte, error) // read for each request, so that it can be changed
	Client *http.Client           // of NewClient
	now    func() time.Time       // nil: time.Now
}

// CheckURL is the error of a URL that is not called: without TLS only this machine is.
func CheckURL(raw string) error {
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Host == "":
		return errors.New("it is not a URL; write for example https://hooks.example.org/gateway")
	case u.User != nil:
		return errors.New("leave user and password out of it; what is sent is signed by the secret")
	case u.Scheme == "https", u.Scheme == "http" && loopback(u.Hostname()):
		return nil
	}
	return errors.New("it must begin with https://; http:// is only for this machine, such as http://127.0.0.1:8080/")
}

func loopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.IsLoopback()
}

// ParseSecret reads a secret: what is behind "whsec_" is base64, any other is taken as it is.
func ParseSecret(text string) ([]byte, error) {
	secret := []byte(text)
	if coded, ok := strings.CutPrefix(text, secretPrefix); ok {
		var err error
		if secret, err = base64.StdEncoding.DecodeString(coded); err != nil {
			return nil, errors.New("the secret begins with whsec_, and what follows is not base64")
		}
	}
	if len(secret) < minSecret {
		return nil, fmt.Errorf("the secret has %d bytes; take %d or more", len(secret), minSecret)
	}
	return secret, nil
}

// NewClient is for webhooks. Certificates are verified, by the system's authorities or roots.
func NewClient(timeout time.Duration, roots *x509.CertPool) *http.Client {
	if timeout <= 0 {
		timeout = DefaultTimeout
	}
	return &http.Client{
		Timeout:       timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
			MaxResponseHeaderBytes: 64 << 10, ForceAttemptHTTP2: true, IdleConnTimeout: time.Minute, MaxIdleConns: 4,
			TLSHandshakeTimeout: timeout,
		},
	}
}

// Batch implements Deliverer.
func (*Webhook) Batch() int { return 1 }

// Pause implements Deliverer.
func (*Webhook) Pause() time.Duration { return 0 }

// Deliver implements Deliverer.
func (w *Webhook) Deliver(ctx context.Context, list []Event) error {
	for _, e := range list {
		if err := w.post(ctx, e); err != nil {
			return err
		}
	}
	return nil
}

func (w *Webhook) post(ctx context.Context, e Event) error {
	body, err := json.Marshal(e)
	if err != nil {
		return &Refused{err}
	}
	secret, err := w.Secret()
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, w.URL, bytes.NewReader(body))
	if err != nil {
		return &Refused{err}
	}
	now := time.Now
	if w.now != nil {
		now = w.now
	}
	at := strconv.FormatInt(now().Unix(), 10)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "gateway")
	r.Header.Set("webhook-id", e.ID)
	r.Header.Set("webhook-timestamp", at)
	r.Header.Set("webhook-signature", Sign(secret, e.ID, at, body))
	answer, err := w.Client.Do(r)
	host := r.URL.Scheme + "://" + r.URL.Host // the rest may be as good as a password
	var inner *url.Error
	if errors.As(err, &inner) {
		err = fmt.Errorf("POST to %s: %w", host, inner.Err)
	}
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	said, _ := io.ReadAll(io.LimitReader(answer.Body, maxAnswer)) // for the log only
	return judge(host, answer.StatusCode, answer.Status, said)
}

// Sign is the header webhook-signature of a body.
func Sign(secret []byte, id, timestamp string, body []byte) string {
	mac := hmac.New(sha256.New, secret)
	fmt.Fprintf(mac, "%s.%s.", id, timestamp)
	mac.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// judge says what an answer means. A server that is busy or broken may do better later; one that does not
// want the event hardly will.
func judge(where string, code int, status string, said []byte) error {
	if code >= 200 && code < 300 {
		return nil
	}
	err := fmt.Errorf("%s answers %s: %.200q", where, status, said)
	if code >= 500 || code == http.StatusRequestTimeout || code == http.StatusTooEarly || code == http.StatusTooManyRequests {
		return err
	}
	return &Refused{err}
}
