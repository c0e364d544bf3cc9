package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"gateway/config"
	"gateway/internal/ingress"
)

// healthTime bounds the whole check.
const healthTime = 5 * time.Second

type healthCmd struct{}

// Run asks the front ends that the configuration names, from the machine itself: whether SSH
// greets and whether HTTPS answers. It logs in to neither, and asks neither the database nor the
// storages: starting a node anew does not mend those.
func (healthCmd) Run(e *env) error {
	c, err := e.config()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(e.ctx, healthTime)
	defer cancel()
	var errs []error
	if !c.SFTP.Off {
		if err := checkSSH(ctx, c.SFTP.Listener); err != nil {
			errs = append(errs, fmt.Errorf("sftp does not answer on %s: %w", c.SFTP.Listen, err))
		}
	}
	if !c.HTTPS.Off {
		if err := checkHTTPS(ctx, c.HTTPS); err != nil {
			errs = append(errs, fmt.Errorf("https does not answer on %s: %w", c.HTTPS.Listen, err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return errors.Join(err, errors.New("is it running, and with this configuration? see: gateway health --help"))
	}
	_, err = fmt.Fprintln(e.out, "healthy")
	return err
}

// dialListener connects to where a front end of this machine listens. Where this machine is taken for a balancer it has to say
// for whom it connects.
func dialListener(ctx context.Context, l config.Listener) (net.Conn, error) {
	host, port, err := net.SplitHostPort(l.Listen)
	if err != nil {
		return nil, err
	}
	if host == "" {
		host = "localhost"
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort(reachable(host), port))
	if err != nil {
		return nil, err
	}
	deadline, _ := ctx.Deadline()
	balancers, err := config.ParseNetworks(l.ProxyProtocol)
	if err == nil {
		err = errors.Join(conn.SetDeadline(deadline), ingress.Greet(conn, balancers))
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}

// checkSSH reads the first bytes of a greeting (RFC 4253, section 4.2).
func checkSSH(ctx context.Context, l config.Listener) error {
	conn, err := dialListener(ctx, l)
	if err != nil {
		return err
	}
	defer conn.Close()
	greeting := make([]byte, len("SSH-2.0-"))
	if _, err := io.ReadFull(conn, greeting); err != nil {
		return err
	}
	if string(greeting) != "SSH-2.0-" {
		return fmt.Errorf("something else answers: %q", greeting)
	}
	return nil
}

// checkHTTPS asks for the options of the server, which needs no login. Where a client certificate is required there
// is none to show, and a handshake that comes so far that it is asked for has to do.
func checkHTTPS(ctx context.Context, c config.HTTPS) error {
	if c.ClientCertificates == config.ClientRequired {
		return checkHandshake(ctx, c.Listener)
	}
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialListener(ctx, c.Listener)
		},
		//nolint:gosec // nothing secret is sent, and the names of its certificate are not those of loopback
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: true},
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodOptions, "https://localhost/", nil)
	if err != nil {
		return err
	}
	answer, err := transport.RoundTrip(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("it answers %s", answer.Status)
	}
	return nil
}

// checkHandshake makes a TLS connection.
func checkHandshake(ctx context.Context, l config.Listener) error {
	conn, err := dialListener(ctx, l)
	if err != nil {
		return err
	}
	defer conn.Close()
	//nolint:gosec // nothing is sent
	return tls.Client(conn, &tls.Config{MinVersion: tls.VersionTLS13, InsecureSkipVerify: true}).HandshakeContext(ctx)
}
