package sftpsrv

import (
	"bytes"
	"crypto/rand"
	"errors"
	"strings"

	"golang.org/x/crypto/ssh"
)

// Host keys are announced after the login, and proved when the client asks for it, so that it learns
// of a new key before the old one goes (PROTOCOL of OpenSSH, section 2.5).
const (
	announceRequest = "hostkeys-00@openssh.com"
	proveRequest    = "hostkeys-prove-00@openssh.com"
	// maxProofs is how often one connection may have the keys proved: a signature costs time.
	maxProofs = 4
)

var errHostKeyUnknown = errors.New("not a key of this server")

// announce tells OpenSSH's client of all host keys. Other clients do not act on it, and some old ones end.
func (c *connection) announce(conn *ssh.ServerConn) {
	if !strings.Contains(string(conn.ClientVersion()), "OpenSSH_") {
		return
	}
	var payload []byte
	for _, key := range c.with.announced {
		payload = append(payload, ssh.Marshal(struct{ Key []byte }{key.PublicKey().Marshal()})...)
	}
	_, _, _ = conn.SendRequest(announceRequest, false, payload) // a connection that is gone is found elsewhere
}

// serveRequests answers the global requests of a client until the connection ends.
func (c *connection) serveRequests(conn *ssh.ServerConn, requests <-chan *ssh.Request) {
	proofs := 0
	for r := range requests {
		if r.Type != proveRequest || proofs >= maxProofs {
			_ = r.Reply(false, nil) // keepalives ask for any answer
			continue
		}
		proofs++
		proof, err := c.with.proveHostKeys(conn, r.Payload)
		if err != nil {
			c.log.Debug("host keys are not proved", "error", err)
		}
		_ = r.Reply(err == nil, proof)
	}
}

// proveHostKeys signs for each key in the request that the server of this session has it.
func (s *settings) proveHostKeys(conn *ssh.ServerConn, request []byte) ([]byte, error) {
	var proof []byte
	d := decoder{b: request}
	for n := 0; len(d.b) > 0; n++ {
		key := s.hostKey(d.bytes(maxPacket))
		if d.bad || key == nil || n >= len(s.announced) {
			return nil, errHostKeyUnknown
		}
		signed := ssh.Marshal(struct {
			Name            string
			SessionID, Host []byte
		}{proveRequest, conn.SessionID(), key.PublicKey().Marshal()})
		signature, err := signHost(conn, key, signed)
		if err != nil {
			return nil, err
		}
		proof = append(proof, ssh.Marshal(struct{ Signature []byte }{ssh.Marshal(signature)})...)
	}
	return proof, nil
}

// hostKey is the announced key in this form, or nil.
func (s *settings) hostKey(public []byte) ssh.Signer {
	for _, key := range s.announced {
		if bytes.Equal(key.PublicKey().Marshal(), public) {
			return key
		}
	}
	return nil
}

// signHost signs with a host key; with an RSA key in the way that was negotiated if that is one for RSA.
func signHost(conn *ssh.ServerConn, key ssh.Signer, data []byte) (*ssh.Signature, error) {
	signer, ok := key.(ssh.AlgorithmSigner)
	if !ok || key.PublicKey().Type() != ssh.KeyAlgoRSA {
		return key.Sign(rand.Reader, data)
	}
	algorithm := ssh.KeyAlgoRSASHA512
	if agreed, ok := conn.Conn.(ssh.AlgorithmsConnMetadata); ok && agreed.Algorithms().HostKey == ssh.KeyAlgoRSASHA256 {
		algorithm = ssh.KeyAlgoRSASHA256
	}
	return signer.SignWithAlgorithm(rand.Reader, data, algorithm)
}
