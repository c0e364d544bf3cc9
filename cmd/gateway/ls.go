package main

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf8"

	"gateway/ftpbridge"
	"gateway/listing"
)

// sourceFlags are what can be said about a legacy server beside its URL.
type sourceFlags struct {
	PasswordFile string        `help:"File that holds the password of the server (default: in the URL, or $GATEWAY_SOURCE_PASSWORD)." type:"path" placeholder:"FILE"`
	Timeout      time.Duration `help:"How long a connection may be silent (default: 60s)." placeholder:"TIME"`
	Charset      string        `help:"Charset of the server's file names (default: found out)." placeholder:"NAME"`
	Format       string        `help:"Format of the server's listings, such as vms (default: found out)." placeholder:"NAME"`
	Dialect      string        `help:"How the server names files: unix, dos, vms, mvs, os400, nonstop or vm (default: found out)." complete:"unix,dos,vms,mvs,os400,nonstop,vm" placeholder:"NAME"`
	Timezone     string        `help:"Zone of the times in the server's listings (default: found out where it matters, else UTC)." placeholder:"ZONE"`
	CAFile       string        `help:"Certificates that may sign the server's (FTPS)." name:"ca-file" type:"path" placeholder:"FILE"`
	Fingerprint  string        `help:"SHA-256 of the server's certificate (FTPS) in hexadecimal, or SHA256:... of its host key (SFTP)." placeholder:"HASH"`
	Account      string        `help:"Account, for servers that ask for one at login." placeholder:"NAME"`
	Active       bool          `help:"Have the server open the data connections (FTP)."`
	Proxy        string        `help:"What to connect through: socks5://[user:password@]host:port or http://..." placeholder:"URL"`
	sshFlags
}

type lsCmd struct {
	Source string `arg:"" help:"URL of the folder: ftp://user@host/path, ftps://, ftpes:// or sftp://."`
	sourceFlags
}

// Run prints a line for each entry.
func (l *lsCmd) Run(e *env) error {
	src, err := l.source(e, l.Source)
	if err != nil {
		return err
	}
	if !src.Secure() {
		fmt.Fprintln(e.err, "warning: plain FTP: the password crosses the network unprotected;\nuse ftpes:// or ftps:// if the server can")
	}
	s, err := ftpbridge.DialRemote(e.ctx, src)
	if err != nil {
		return err
	}
	defer s.Close()
	r, err := s.List(e.ctx, "")
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(e.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, f := range r.Entries {
		// Only the size is aligned to the right; the name ends the line.
		fmt.Fprintf(w, "%s\t%s\t %s  %s\n", kindLetter(f.Type), listedSize(f), listedTime(f.ModTime), listedName(f))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err = io.WriteString(e.err, r.Quality.String())
	if len(r.Entries) == 0 && r.SkippedTotal > 0 {
		return errors.Join(err, errSilent)
	}
	return err
}

func kindLetter(t listing.Type) string {
	switch t {
	case listing.File:
		return "-"
	case listing.Dir:
		return "d"
	case listing.Link:
		return "l"
	}
	return "?"
}

func listedSize(f listing.Entry) string {
	switch {
	case f.Size < 0:
		return "-"
	case f.SizeEstimated:
		return fmt.Sprintf("~%d", f.Size)
	}
	return fmt.Sprint(f.Size)
}

func listedTime(t listing.Time) string {
	switch t.Precision {
	case listing.Day:
		return t.Format("2006-01-02      ")
	case listing.Minute, listing.Second:
		return t.Format("2006-01-02 15:04")
	}
	return strings.Repeat(" ", len("2006-01-02 15:04"))
}

func listedName(f listing.Entry) string {
	name := printable(f.Name)
	if f.Type == listing.Link && f.Target != "" {
		name += " -> " + printable(f.Target)
	}
	return name
}

// printable escapes what could drive a terminal: names and words from servers
// are hostile input. A byte that is not UTF-8 is \xNN, so that names stay apart.
func printable(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			quoted := strconv.QuoteRuneToASCII(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		}
		i += n
	}
	return b.String()
}
