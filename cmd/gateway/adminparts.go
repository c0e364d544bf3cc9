package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"gateway/admin"
	"gateway/auth"
	"gateway/sftpsrv"
	"gateway/state"
	"gateway/storage"
)

// operatorSessions shows who is connected, and closes connections.
type operatorSessions struct{ s *serving }

// Sessions implements admin.Sessions.
func (o operatorSessions) Sessions() []admin.Session {
	var list []admin.Session
	if o.s.sftpServer != nil {
		for _, v := range o.s.sftpServer.Sessions() {
			list = append(list, admin.Session{
				ID: v.ID, User: v.User, Address: v.Address.String(), Protocol: "sftp", Client: v.Client, Since: v.Since, Active: v.Active,
				Doing: sftpDoing(v),
			})
		}
	}
	if o.s.handler != nil {
		for _, v := range o.s.handler.Sessions() {
			s := admin.Session{ID: v.ID, User: v.User, Address: v.Address.String(), Protocol: v.Protocol, Client: v.Client, Since: v.Since, Active: v.Active}
			if len(v.Login) > 12 {
				s.Login = v.Login[:12] // as the page says in storage.Origin
			}
			if v.Requests > 0 {
				s.Doing = v.Doing
			}
			list = append(list, s)
		}
	}
	return list
}

func sftpDoing(v sftpsrv.Session) string {
	var parts []string
	if v.Files > 0 {
		parts = append(parts, fmt.Sprintf("%d files or folders open", v.Files))
	}
	if v.Commands > 0 {
		parts = append(parts, fmt.Sprintf("%d commands", v.Commands))
	}
	return strings.Join(parts, ", ")
}

// CloseSession implements admin.Sessions.
func (o operatorSessions) CloseSession(ctx context.Context, id string) error {
	if o.s.sftpServer != nil && o.s.sftpServer.CloseSession(id) {
		return nil
	}
	if o.s.handler != nil {
		if closed, ok := o.s.handler.CloseSession(id); ok {
			return o.s.g.state.EndSession(ctx, closed.Login) // of "" there is none, which is no error
		}
	}
	return fmt.Errorf("%w: no session %.64q; it may have ended", admin.ErrNotFound, id)
}

// operatorBans shows and changes the bans.
type operatorBans struct {
	guard *auth.Guard
	state state.Bans
}

// Banned implements admin.Bans.
func (o operatorBans) Banned(ctx context.Context) ([]admin.Ban, error) {
	list, err := o.state.Banned(ctx)
	bans := make([]admin.Ban, 0, len(list))
	for _, f := range list {
		bans = append(bans, admin.Ban{Network: f.Network, Seconds: int64(f.Banned / time.Second)})
	}
	return bans, err
}

// Ban implements admin.Bans.
func (o operatorBans) Ban(ctx context.Context, network string, d time.Duration) error {
	p, err := auth.ParseNetwork(network)
	if err != nil {
		return fmt.Errorf("%w: %w", admin.ErrInvalid, err)
	}
	return o.guard.Ban(ctx, p, d)
}

// LiftBan implements admin.Bans.
func (o operatorBans) LiftBan(ctx context.Context, network string) error {
	p, err := auth.ParseNetwork(network)
	if err != nil {
		return fmt.Errorf("%w: %w", admin.ErrInvalid, err)
	}
	err = o.guard.LiftBan(ctx, p)
	if errors.Is(err, state.ErrNotFound) {
		return fmt.Errorf("%w: %s is not banned", admin.ErrNotFound, p)
	}
	return err
}

// operatorStorages shows the storages.
type operatorStorages struct{ g *gateway }

// StorageUse implements admin.Storages.
func (o operatorStorages) StorageUse(ctx context.Context) ([]admin.Storage, error) {
	var list []admin.Storage
	for _, name := range o.g.cfg.StorageNames() {
		s := admin.Storage{Name: name, Kind: "folder", Place: storagePlace(o.g.cfg, name), Total: -1, Available: -1}
		switch c := o.g.cfg.Storages[name]; {
		case c.Source != "":
			s.Kind = "mount"
		case c.S3 != nil:
			s.Kind = "bucket"
		}
		if r, ok := o.g.storages[name].(storage.SpaceReporter); ok && s.Kind != "mount" {
			space, err := r.Space(ctx, "")
			switch {
			case err == nil:
				s.Total, s.Available = space.Total, space.Available
			case !errors.Is(err, errors.ErrUnsupported):
				s.Error = err.Error()
			}
		}
		list = append(list, s)
	}
	return list, ctx.Err()
}

// operatorUsers shows the users and disables them.
type operatorUsers struct {
	g        *gateway
	sessions operatorSessions
}

// usageTime bounds the counting of what one user keeps.
const usageTime = 5 * time.Second

// Users implements admin.Users.
func (o operatorUsers) Users(ctx context.Context) ([]admin.User, error) {
	users, mistakes := o.g.users.List(ctx)
	var list []admin.User
	for _, u := range users {
		v := admin.User{Name: u.Name, Login: loginKinds(u), Disabled: u.Disabled, Quota: int64(u.Quota), Used: -1, Mounts: []string{}}
		for _, m := range u.Mounts {
			v.Mounts = append(v.Mounts, mountText(m))
		}
		if u.Quota > 0 {
			v.Used = o.used(ctx, u)
		}
		list = append(list, v)
	}
	return list, mistakes
}

// used is how many bytes of a quota are used; -1: that cannot be told in time.
func (o operatorUsers) used(ctx context.Context, u auth.User) int64 {
	ctx, cancel := context.WithTimeout(ctx, usageTime)
	defer cancel()
	tree, err := o.g.tree(ctx, auth.Identity{User: u}) // and no view: the operator's look is no session of the user
	if err != nil {
		return -1
	}
	counter, ok := tree.(interface {
		Usage(ctx context.Context) (used, limit int64, err error)
	})
	if !ok {
		return -1
	}
	used, _, err := counter.Usage(ctx)
	if err != nil {
		return -1
	}
	return used
}

// DisableUser implements admin.Users. The open sessions of a user who is disabled are closed.
func (o operatorUsers) DisableUser(ctx context.Context, name string, disabled bool) error {
	u, err := o.g.users.Get(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: no user %.64q", admin.ErrNotFound, name)
	}
	if err != nil {
		return err
	}
	u.Disabled = disabled
	if err := o.g.users.Put(ctx, u); err != nil {
		return err
	}
	for _, s := range o.sessions.Sessions() {
		if disabled && s.User == name {
			_ = o.sessions.CloseSession(ctx, s.ID) // it may have ended by itself
		}
	}
	return nil
}

// operatorCertificates shows the certificates that are in use just now.
type operatorCertificates struct{ s *serving }

// Certificates implements admin.Certificates.
func (o operatorCertificates) Certificates() []admin.Certificate {
	var list []admin.Certificate
	for _, c := range o.s.certs.Shown() {
		names := append([]string{}, c.DNSNames...)
		for _, ip := range c.IPAddresses {
			names = append(names, ip.String())
		}
		list = append(list, admin.Certificate{
			Names: names, Issuer: c.Issuer.String(), SelfSigned: string(c.RawIssuer) == string(c.RawSubject),
			NotAfter: c.NotAfter, DaysLeft: daysUntil(c.NotAfter), SHA256: fmt.Sprintf("%x", sha256.Sum256(c.Raw)),
		})
	}
	return list
}

func daysUntil(t time.Time) int {
	d := time.Until(t)
	if d < 0 {
		d -= 24*time.Hour - 1 // down
	}
	return int(d / (24 * time.Hour))
}

// HostKeys implements admin.Certificates.
func (o operatorCertificates) HostKeys() []string {
	if o.s.sftp == nil {
		return nil
	}
	return sftpsrv.Fingerprints(o.s.keys.Load().used)
}
