package ftpbridge

import (
	"fmt"
	"net"
	"strconv"
)

// dialPassive connects to the address of the control connection's peer whatever
// the server said. Where the port of an EPSV reply is dead, PASV is tried and
// used from then on.
func (s *Session) dialPassive(addr string) (net.Conn, error) {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	raw, err := s.dialPeer(port)
	if err != nil && s.ctl.early.used { // it may have been given up meanwhile
		raw, err = s.dialAnew(err)
	}
	if err != nil && s.ctl.verb == "EPSV" && !s.Broken() {
		r, rerr := s.ctl.exchange("PASV")
		if rerr != nil {
			return nil, rerr
		}
		if r.code != 227 {
			return nil, fmt.Errorf("%w (after EPSV: %w)", r.err("PASV"), err)
		}
		n, perr := parsePASV(r.text())
		if perr != nil {
			s.ctl.fault = perr
			return nil, perr
		}
		s.ctl.noEPSV = true
		raw, err = s.dialPeer(strconv.Itoa(n))
	}
	if err != nil {
		return nil, fmt.Errorf("%w: data connection: %w; the server's passive ports may be closed by a firewall", ErrUnreachable, err)
	}
	return raw, nil
}

// dialAnew asks for another port in place of one that was asked for ahead.
func (s *Session) dialAnew(why error) (net.Conn, error) {
	s.ctl.early.used = false
	r, err := s.ctl.exchange("EPSV")
	if err != nil {
		return nil, err
	}
	if r.code != 229 {
		return nil, why
	}
	port, err := parseEPSV(r.text())
	if err != nil {
		s.ctl.fault = err
		return nil, err
	}
	return s.dialPeer(strconv.Itoa(port))
}

func (s *Session) dialPeer(port string) (net.Conn, error) {
	if s.src.Proxy != nil { // which is the peer here, and has resolved the name
		return s.dial(net.JoinHostPort(s.src.URL.Hostname(), port))
	}
	host, _, err := net.SplitHostPort(s.ctl.RemoteAddr().String())
	if err != nil {
		return nil, err
	}
	return s.dial(net.JoinHostPort(host, port))
}
