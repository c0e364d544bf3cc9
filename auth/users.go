package auth

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"time"

	"go.yaml.in/yaml/v3"
	"golang.org/x/crypto/ssh"

	"gateway/config"
	"gateway/internal/durable"
	"gateway/storage"
)

// Bounds of a user file.
const (
	MaxKeys   = 100
	MaxMounts = 100
)

// User is one person or program that may log in. Its file is NAME.yaml.
type User struct {
	Name           string   `yaml:"name,omitempty"`            // as the file's name; may be left out of the file
	PasswordHash   string   `yaml:"password,omitempty"`        // argon2id, PHC string; "" means no password login
	AuthorizedKeys []string `yaml:"authorized_keys,omitempty"` // lines as in OpenSSH's authorized_keys, without options
	Require        []string `yaml:"require,omitempty"`         // what is needed to log in, all of it: ByPublicKey, ByPassword; empty: either
	AllowFrom      []string `yaml:"allow_from,omitempty"`      // addresses and networks to log in from; empty: any
	Mounts         []Mount  `yaml:"mounts"`
	Quota          Bytes    `yaml:"quota,omitempty"` // over all mounts; 0 means none
	Disabled       bool     `yaml:"disabled,omitempty"`

	Expires      time.Time     `yaml:"expires,omitempty"` // from when on no login is let; zero: never
	TOTP         TOTP          `yaml:"totp,omitempty"`    // the second factor
	AppPasswords []AppPassword `yaml:"app_passwords,omitempty"`

	MaxSessions int       `yaml:"max_sessions,omitempty"` // open at once on one node, over all protocols; 0: any number
	Bandwidth   Bandwidth `yaml:"bandwidth,omitempty"`
}

// Bandwidth is how many bytes a second all sessions of a user together may move on one node; 0 is no limit.
type Bandwidth struct {
	Up   Bytes `yaml:"up,omitempty"` // to the gateway
	Down Bytes `yaml:"down,omitempty"`
}

// CheckBandwidth says what is wrong with a limit of bytes a second, if anything.
func CheckBandwidth(b Bytes) error {
	if b != 0 && b < storage.MinBandwidth {
		return fmt.Errorf("%v is less than the least bandwidth, %v a second; give more, or 0 for no limit", b, Bytes(storage.MinBandwidth))
	}
	return nil
}

// over reports whether the user may not log in, or stay, at a time.
func (u User) over(at time.Time) bool {
	return u.Disabled || !u.Expires.IsZero() && !at.Before(u.Expires)
}

// What User.Require can have.
const (
	ByPublicKey = "publickey" // a key of AuthorizedKeys, or a certificate; always the first step
	ByPassword  = "password"  // over SSH also by keyboard-interactive
)

func (u User) requires(kind string) bool { return slices.Contains(u.Require, kind) }

// Mount says which folder of which storage appears where for a user.
type Mount struct {
	Path        string      `yaml:"path"`              // where the user sees it; "/" is their root
	Storage     string      `yaml:"storage,omitempty"` // name of a configured storage; "" is the default one
	Folder      string      `yaml:"folder,omitempty"`  // folder inside the storage, made at first use; "" is all of it
	Permissions Permissions `yaml:"permissions"`
}

// Bytes is a size; in YAML a number with an optional unit: 500, 20MB, 1.5GiB.
type Bytes int64

// Permissions is storage.Permission with its YAML form: one of the names of
// permissionNames or a list of them.
type Permissions storage.Permission

var permissionNames = []struct {
	name string
	perm storage.Permission
}{
	// The sets come first, so that they are also the first choice when writing.
	{"read-write", storage.PermReadWrite},
	{"read-only", storage.PermReadOnly},
	{"drop-box", storage.PermDropBox},
	{"list", storage.PermList},
	{"read", storage.PermRead},
	{"create", storage.PermCreate},
	{"overwrite", storage.PermOverwrite},
	{"mkdir", storage.PermMkdir},
	{"rename", storage.PermRename},
	{"delete", storage.PermDelete},
	{"set-time", storage.PermSetTime},
}

// UnmarshalYAML reads a name or a list of names.
func (p *Permissions) UnmarshalYAML(n *yaml.Node) error {
	var names []string
	if n.Kind == yaml.ScalarNode {
		names = []string{n.Value}
	} else if err := n.Decode(&names); err != nil {
		return err
	}
	set, err := ParsePermissions(names)
	if err != nil {
		return &yaml.TypeError{Errors: []string{fmt.Sprintf("line %d: %v", n.Line, err)}}
	}
	*p = set
	return nil
}

// ParsePermissions adds up the named permissions and sets of permissions.
func ParsePermissions(names []string) (Permissions, error) {
	var p Permissions
	for _, name := range names {
		set, ok := permissionByName(name)
		if !ok {
			return 0, fmt.Errorf("unknown permission %q; known are %s", name, knownPermissions())
		}
		p |= Permissions(set)
	}
	return p, nil
}

// MarshalYAML writes the name of the set, or the list of names.
func (p Permissions) MarshalYAML() (any, error) {
	if names := p.names(); len(names) != 1 {
		return names, nil
	}
	return p.String(), nil
}

// String is the name of the set, or the names of its members with commas.
func (p Permissions) String() string { return strings.Join(p.names(), ",") }

func (p Permissions) names() []string {
	var names []string
	for _, k := range permissionNames {
		if storage.Permission(p) == k.perm {
			return []string{k.name}
		}
		if k.perm&(k.perm-1) == 0 && storage.Permission(p)&k.perm != 0 {
			names = append(names, k.name)
		}
	}
	return names
}

func permissionByName(name string) (storage.Permission, bool) {
	for _, k := range permissionNames {
		if k.name == name {
			return k.perm, true
		}
	}
	return 0, false
}

func knownPermissions() string {
	names := make([]string, len(permissionNames))
	for i, k := range permissionNames {
		names[i] = k.name
	}
	return strings.Join(names, ", ")
}

var bytesForm = regexp.MustCompile(`^([0-9]+(?:\.[0-9]+)?) ?(?:([kKMGTP])(i?))?B?$`)

// UnmarshalYAML reads a number with an optional unit; k, M, G, T, P are powers of 1000, with an i of 1024.
func (b *Bytes) UnmarshalYAML(n *yaml.Node) error {
	v, err := ParseBytes(n.Value)
	if err != nil || n.Kind != yaml.ScalarNode {
		return &yaml.TypeError{Errors: []string{fmt.Sprintf("line %d: %q is not a size; write for example 500MB or 10GiB", n.Line, n.Value)}}
	}
	*b = v
	return nil
}

// ParseBytes reads a size such as 500, 20MB or 1.5GiB.
func ParseBytes(s string) (Bytes, error) {
	m := bytesForm.FindStringSubmatch(s)
	if m == nil {
		return 0, fmt.Errorf("%q is not a size; write for example 500MB or 10GiB", s)
	}
	v, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		return 0, err
	}
	base := 1000.0
	if m[3] == "i" {
		base = 1024
	}
	for range strings.Index("_KMGTP", strings.ToUpper(m[2])) {
		v *= base
	}
	if v >= 1<<62 {
		return 0, fmt.Errorf("%q is too large", s)
	}
	return Bytes(v), nil
}

// String is the size in the largest unit that shows it exactly.
func (b Bytes) String() string {
	for _, u := range []struct {
		name string
		size Bytes
	}{{"PB", 1e15}, {"PiB", 1 << 50}, {"TB", 1e12}, {"TiB", 1 << 40}, {"GB", 1e9}, {"GiB", 1 << 30}, {"MB", 1e6}, {"MiB", 1 << 20}, {"kB", 1e3}, {"KiB", 1 << 10}} {
		if b >= u.size && b%u.size == 0 {
			return fmt.Sprintf("%d%s", b/u.size, u.name)
		}
	}
	return strconv.FormatInt(int64(b), 10)
}

// MarshalYAML writes the form that UnmarshalYAML reads.
func (b Bytes) MarshalYAML() (any, error) { return b.String(), nil }

var userName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._@-]{0,63}$`)

// CheckName says what is wrong with a user name, if anything. A name is also a
// file name, so it is narrow.
func CheckName(name string) error {
	if !userName.MatchString(name) || strings.HasSuffix(name, ".yaml") {
		return fmt.Errorf("%q cannot be a user name; use 1 to 64 of letters, digits and . _ @ -, beginning with a letter, digit or _", name)
	}
	return nil
}

// Keys are the parsed authorized keys.
func (u User) Keys() ([]ssh.PublicKey, error) {
	keys := make([]ssh.PublicKey, 0, len(u.AuthorizedKeys))
	for _, line := range u.AuthorizedKeys {
		key, _, options, rest, err := ssh.ParseAuthorizedKey([]byte(line))
		switch {
		case err != nil:
			return nil, fmt.Errorf("authorized key %.40q cannot be read; give a line such as \"ssh-ed25519 AAAA... comment\"", line)
		case len(options) > 0:
			return nil, fmt.Errorf("authorized key %.40q has options (%s), which are not supported; remove them", line, options[0])
		case len(rest) > 0:
			return nil, fmt.Errorf("authorized key %.40q has more than one line; make it several entries", line)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// check validates what YAML cannot.
func (u User) check() error {
	if err := CheckName(u.Name); err != nil {
		return err
	}
	if len(u.AuthorizedKeys) > MaxKeys || len(u.Mounts) > MaxMounts {
		return fmt.Errorf("more than %d keys or %d mounts", MaxKeys, MaxMounts)
	}
	if _, err := u.Keys(); err != nil {
		return err
	}
	if u.PasswordHash != "" {
		if err := checkHash(u.PasswordHash); err != nil {
			return err
		}
	}
	for i, kind := range u.Require {
		if kind != ByPublicKey && kind != ByPassword || slices.Contains(u.Require[:i], kind) {
			return fmt.Errorf("require: %q is not expected; give %s, %s, or both", kind, ByPublicKey, ByPassword)
		}
	}
	if u.requires(ByPassword) && u.PasswordHash == "" {
		return errors.New("require has password, but the user has none; set it with: gateway user passwd NAME")
	}
	if err := errors.Join(u.checkFrom(), u.TOTP.check(), checkAppPasswords(u.AppPasswords)); err != nil {
		return err
	}
	for key, b := range map[string]Bytes{"up": u.Bandwidth.Up, "down": u.Bandwidth.Down} {
		if err := CheckBandwidth(b); err != nil {
			return fmt.Errorf("bandwidth.%s: %w", key, err)
		}
	}
	if u.MaxSessions < 0 {
		return errors.New("max_sessions is less than 0; give a number, or 0 for any")
	}
	return u.checkMounts()
}

func (u User) checkMounts() error {
	paths := map[string]bool{}
	for _, m := range u.Mounts {
		path, err := storage.CleanName(m.Path)
		if err != nil {
			return fmt.Errorf("mount path %q: %w", m.Path, err)
		}
		if paths[path] {
			return fmt.Errorf("two mounts have the path %q; give each its own", m.Path)
		}
		paths[path] = true
		if _, err := storage.CleanName(m.Folder); err != nil {
			return fmt.Errorf("mount folder %q: %w", m.Folder, err)
		}
		if m.Permissions == 0 {
			return fmt.Errorf("mount %q has no permissions; give one of %s, or a list", m.Path, knownPermissions())
		}
	}
	return nil
}

// Users is a folder of user files. It is read anew at each login, so that a
// change counts from the next login on. Safe for concurrent use.
type Users struct {
	dir string
}

// OpenUsers makes the folder if it is missing.
func OpenUsers(dir string) (*Users, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("users folder: %w", err)
	}
	return &Users{dir: dir}, nil
}

// Get reads one user. fs.ErrNotExist if there is no such user; *config.Error
// if the file has a mistake.
func (s *Users) Get(_ context.Context, name string) (User, error) {
	if CheckName(name) != nil {
		return User{}, &fs.PathError{Op: "user", Path: fmt.Sprintf("%.64q", name), Err: fs.ErrNotExist}
	}
	file := filepath.Join(s.dir, name+".yaml")
	data, err := readRegular(file)
	if errors.Is(err, fs.ErrNotExist) {
		return User{}, &fs.PathError{Op: "user", Path: name, Err: fs.ErrNotExist}
	}
	if err != nil {
		return User{}, fmt.Errorf("user %s: %w", name, err)
	}
	var u User
	if err := config.Decode(file, data, &u); err != nil {
		return User{}, err
	}
	if u.Name != "" && u.Name != name {
		return User{}, &config.Error{File: file, Msg: fmt.Sprintf("the name in the file is %q; it must be %q like the file's", u.Name, name)}
	}
	u.Name = name
	if err := u.check(); err != nil {
		return User{}, &config.Error{File: file, Msg: err.Error()}
	}
	return u, nil
}

// fileVersion tells a user's file from what it was before any change: a file that was replaced may
// have the size and time of the old one, but not its inode.
type fileVersion struct {
	inode         uint64
	size, modTime int64
}

// version is zero where there is no file.
func (s *Users) version(name string) fileVersion {
	if CheckName(name) != nil {
		return fileVersion{}
	}
	info, err := os.Stat(filepath.Join(s.dir, name+".yaml"))
	if err != nil {
		return fileVersion{}
	}
	v := fileVersion{size: info.Size(), modTime: info.ModTime().UnixNano()}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		v.inode = st.Ino
	}
	return v
}

// readRegular reads a user's file. Opening anything else could wait for ever, and with
// it a login.
func readRegular(file string) ([]byte, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", file)
	}
	return config.ReadFile(file)
}

// List reads all users, by name. Files with mistakes are in the joined error;
// the other users are still returned.
func (s *Users) List(ctx context.Context) ([]User, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, fmt.Errorf("users folder: %w", err)
	}
	var users []User
	var errs []error
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".yaml")
		if !ok || strings.HasPrefix(name, ".") {
			continue
		}
		u, err := s.Get(ctx, name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		users = append(users, u)
	}
	sort.Slice(users, func(i, j int) bool { return users[i].Name < users[j].Name })
	return users, errors.Join(errs...)
}

// Put writes a user's file durably, in place of the present one.
func (s *Users) Put(_ context.Context, u User) error {
	if err := u.check(); err != nil {
		return fmt.Errorf("user %s: %w", u.Name, err)
	}
	data, err := yaml.Marshal(u)
	if err != nil {
		return fmt.Errorf("user %s: %w", u.Name, err)
	}
	if err := durable.WriteFile(filepath.Join(s.dir, u.Name+".yaml"), data); err != nil {
		return fmt.Errorf("user %s: %w", u.Name, err)
	}
	return nil
}

// Remove removes a user's file; fs.ErrNotExist if there is none. The user's files stay.
func (s *Users) Remove(_ context.Context, name string) error {
	if err := CheckName(name); err != nil {
		return err
	}
	err := os.Remove(filepath.Join(s.dir, name+".yaml"))
	if errors.Is(err, fs.ErrNotExist) {
		return &fs.PathError{Op: "user", Path: name, Err: fs.ErrNotExist}
	}
	return err
}
