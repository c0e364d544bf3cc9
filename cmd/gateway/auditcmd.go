package main

import (
	"bufio"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"gateway/audit"
)

type auditCmd struct {
	Show   auditShowCmd   `cmd:"" help:"Print what the audit log says, one line each."`
	Verify auditVerifyCmd `cmd:"" help:"Check that no line of the audit log was changed, removed or put in."`
	Head   auditHeadCmd   `cmd:"" help:"Print the head of the audit log, to be kept on another machine."`
	Key    auditKeyCmd    `cmd:"" help:"Print the public keys that heads are signed by, in PEM."`
}

type auditShowCmd struct {
	Files  []string `arg:"" optional:"" help:"Files of the log (default: all in its folder)." type:"existingfile"`
	User   string   `help:"Only what this user did." placeholder:"NAME"`
	Path   string   `help:"Only what was done to this path, or below it: as users see it, or STORAGE:PATH." placeholder:"PATH"`
	Verb   []string `help:"Only these verbs, such as login, upload, delete, publish." placeholder:"VERB"`
	Result []string `help:"Only what ended so: ok, refused, failed." placeholder:"RESULT"`
	Since  string   `help:"Only what happened since: 2024-05-01, or 12h, 30d ago." placeholder:"WHEN"`
	JSON   bool     `help:"Print JSON lines." name:"json"`
}

// Run prints the lines that pass the filters. Text that clients chose is quoted, so that it cannot drive a terminal
// or look like another column.
func (x *auditShowCmd) Run(e *env) error {
	since, err := parseSince(x.Since, time.Now())
	if err != nil {
		return err
	}
	files := x.Files
	if len(files) == 0 {
		c, err := e.config()
		if err != nil {
			return err
		}
		if files, err = audit.Files(c.AuditDir()); err != nil {
			return noAuditLog(err)
		}
	}
	out := bufio.NewWriter(e.out)
	bad := 0
	for entry, err := range audit.Entries(files) {
		switch {
		case err != nil:
			bad++
			fmt.Fprintf(e.err, "gateway: %s\n", printable(err.Error()))
		case !x.wants(entry, since):
		case x.JSON:
			fmt.Fprintf(out, "%s\n", entry.JSON())
		default:
			fmt.Fprintln(out, auditText(entry))
		}
	}
	if err := out.Flush(); err != nil {
		return err
	}
	if bad > 0 {
		return fmt.Errorf("%d lines cannot be read; see: gateway audit verify", bad)
	}
	return nil
}

func noAuditLog(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no audit log yet: %w", err)
	}
	return err
}

func (x *auditShowCmd) wants(e audit.Entry, since time.Time) bool {
	in := func(list []string, s string) bool {
		for _, l := range list {
			if l == s {
				return true
			}
		}
		return len(list) == 0
	}
	return (x.User == "" || e.User == x.User) && in(x.Verb, string(e.Verb)) && in(x.Result, string(e.Result)) &&
		!e.Time.Before(since) && (x.Path == "" || x.below(e.Path) || x.below(e.Key) || x.below(e.To) || x.below(e.ToKey))
}

func (x *auditShowCmd) below(name string) bool {
	want := strings.TrimRight(x.Path, "/")
	if storage, path, ok := strings.Cut(want, ":"); ok && !strings.HasPrefix(want, "/") {
		want = storage + ":" + strings.TrimLeft(path, "/")
	} else if !strings.HasPrefix(want, "/") {
		want = "/" + want
	}
	rest, ok := strings.CutPrefix(name, want)
	return ok && (rest == "" || rest[0] == '/' || strings.HasSuffix(want, ":") || want == "/")
}

// auditText is an entry for people.
func auditText(e audit.Entry) string {
	var b strings.Builder
	b.WriteString(e.Time.UTC().Format("2006-01-02T15:04:05.000Z"))
	word := func(prefix, s string) {
		if s != "" {
			b.WriteString(" " + prefix + plainWord(s))
		}
	}
	word("", string(e.Verb))
	word("", string(e.Result))
	word("user=", e.User)
	word("by=", e.By)
	if e.Address.IsValid() {
		word("from=", e.Address.String())
	}
	word("over=", e.Protocol)
	word("session=", e.Session)
	word("", e.Path)
	word("-> ", e.To)
	word("key=", e.Key)
	word("to_key=", e.ToKey)
	if e.Bytes > 0 {
		word("bytes=", strconv.FormatInt(e.Bytes, 10))
	}
	word("ref=", e.Ref)
	if e.Through > 0 {
		word("through=", strconv.FormatUint(e.Through, 10))
	}
	word("signer=", e.Signer)
	word("reason=", e.Reason)
	word("node=", e.Node)
	return b.String()
}

// plainWord is s where it is one word of harmless characters, else in quotes.
func plainWord(s string) string {
	for _, r := range s {
		if r <= ' ' || r == '"' || r == '\\' || r == '=' || r > '~' {
			return strconv.Quote(s)
		}
	}
	return s
}

type auditVerifyCmd struct {
	Files []string `arg:"" optional:"" help:"Files of the log, the oldest first (default: all in its folder)." type:"existingfile"`
	Head  []string `help:"A head that was kept elsewhere: NUMBER:SHA256, or the SHA-256." placeholder:"HEAD"`
	Key   []string `help:"Files with the public keys that are believed (default: those in the folder of keys)." type:"existingfile" placeholder:"FILE"`
}

// Run says what is wrong with the log, and where.
func (v *auditVerifyCmd) Run(e *env) error {
	o := audit.VerifyOptions{Part: len(v.Files) > 0}
	for _, text := range v.Head {
		h, err := audit.ParseHead(text)
		if err != nil {
			return err
		}
		o.Heads = append(o.Heads, h)
	}
	files := v.Files
	var err error
	if o.Keys, err = v.keys(e); err != nil {
		return err
	}
	if len(files) == 0 {
		if files, err = v.folder(e, &o); err != nil {
			return err
		}
	}
	r, err := audit.Verify(files, o)
	if err != nil {
		return err
	}
	printAudit(e.out, r, len(o.Keys) > 0)
	if r.Total > 0 {
		return fmt.Errorf("the audit log is not what was written: %d faults", r.Total)
	}
	return nil
}

// keys are those that are believed.
func (v *auditVerifyCmd) keys(e *env) ([]ed25519.PublicKey, error) {
	named := v.Key
	if len(named) == 0 {
		c, err := e.config()
		if err != nil {
			return nil, err
		}
		named = []string{filepath.Join(c.KeysDir(), auditKeyFile+audit.PublicSuffix)}
	}
	var keys []ed25519.PublicKey
	for _, file := range named {
		more, err := audit.ReadPublic(file)
		if errors.Is(err, fs.ErrNotExist) && len(v.Key) == 0 {
			continue // said at the end
		}
		if err != nil {
			return nil, err
		}
		keys = append(keys, more...)
	}
	return keys, nil
}

// folder is the log of the configuration, with the head that lies beside it.
func (v *auditVerifyCmd) folder(e *env, o *audit.VerifyOptions) ([]string, error) {
	c, err := e.config()
	if err != nil {
		return nil, err
	}
	h, err := audit.LastHead(c.AuditDir())
	if err != nil {
		return nil, err
	}
	if h.Seq > 0 {
		o.Heads = append(o.Heads, h)
	}
	files, limit, err := audit.Snapshot(c.AuditDir())
	if err != nil {
		return nil, noAuditLog(err)
	}
	if len(files) == 0 && h.Seq == 0 {
		return nil, fmt.Errorf("%s has no file of an audit log", c.AuditDir())
	}
	o.Limit = limit
	return files, nil
}

func printAudit(w io.Writer, r audit.Report, keys bool) {
	for _, f := range r.Faults {
		fmt.Fprintln(w, "wrong: "+printable(f.String()))
	}
	if more := r.Total - len(r.Faults); more > 0 {
		fmt.Fprintf(w, "wrong: and %d more\n", more)
	}
	for _, n := range r.Notes {
		fmt.Fprintln(w, "note:  "+printable(n.String()))
	}
	fmt.Fprintf(w, "%d lines in %d files, numbers %d to %d\n", r.Lines, r.Files, r.First, r.Last)
	switch {
	case !keys:
		fmt.Fprintln(w, "no signature was checked: there is no key; name one with --key")
	case r.Signed.Seq == 0:
		fmt.Fprintln(w, "no line is signed")
	default:
		fmt.Fprintf(w, "signed up to line %d; %d lines after it\n", r.Signed.Seq, r.Unsigned)
	}
	fmt.Fprintf(w, "head %s\n", r.Head)
}

type auditHeadCmd struct{}

// Run prints the head that was signed last.
func (auditHeadCmd) Run(e *env) error {
	c, err := e.config()
	if err != nil {
		return err
	}
	h, err := audit.LastHead(c.AuditDir())
	if err != nil {
		return err
	}
	if h.Seq == 0 {
		return fmt.Errorf("no head was signed yet in %s", c.AuditDir())
	}
	_, err = fmt.Fprintln(e.out, h)
	return err
}

type auditKeyCmd struct{}

// Run prints the public keys.
func (auditKeyCmd) Run(e *env) error {
	c, err := e.config()
	if err != nil {
		return err
	}
	keys, err := audit.ReadPublic(filepath.Join(c.KeysDir(), auditKeyFile+audit.PublicSuffix))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no key yet, it is made with the first line: %w", err)
	}
	if err != nil {
		return err
	}
	for _, k := range keys {
		if _, err := e.out.Write(audit.PublicPEM(k)); err != nil {
			return err
		}
	}
	return nil
}
