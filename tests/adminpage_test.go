package tests

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"gateway/tests/servers"
)

// press clicks on what a selector leads to; has is a part of its text.
func (b *browser) press(selector, has string) {
	b.t.Helper()
	find := fmt.Sprintf(`[...document.querySelectorAll(%q)].find((e) => e.offsetParent !== null && e.textContent.includes(%q))`, selector, has)
	b.wait(find + " !== undefined")
	eval[bool](b, "("+find+".click(), true)")
}

// agree answers yes to what the page will ask.
func (b *browser) agree() { eval[bool](b, `(window.confirm = () => true, true)`) }

// logInAdmin logs in to the operator's page as people do.
func (b *browser) logInAdmin(password string) {
	b.t.Helper()
	b.open("/")
	b.waitText("One-time code")
	b.fill("#name", "admin")
	b.fill("#password", password) // and Enter
	b.waitText("Jobs running")
}

// heldSource is a source at a real vsftpd, under a policy that one file does not meet for want of a checksum, and one whose
// checksum is wrong.
func heldSource(t *testing.T) string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "root")
	good := []byte("as it should be\n")
	sums := fmt.Sprintf("%x  good.txt\n%x  wrong.txt\n", sha256.Sum256(good), sha256.Sum256(good))
	for name, body := range map[string]string{"good.txt": string(good), "wrong.txt": "something else\n", "report-2026.pdf": "a report without a checksum\n", "SHA256SUMS": sums} {
		writeFile(t, filepath.Join(root, name), []byte(body))
	}
	server := servers.Start(t, servers.VSFTPD, servers.Options{Root: root})
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "pass"), []byte(server.Pass))
	writeFile(t, filepath.Join(dir, "policy.yaml"), []byte(`rules:
  - {paths: SHA256SUMS, require: all, evidence: [{manifest: SHA256SUMS}], on_missing: publish}
  - {paths: "**", require: all, evidence: [{manifest: SHA256SUMS}], on_weak: publish, on_missing: quarantine}
`))
	return fmt.Sprintf("  partner:\n    url: ftp://%s@%s/\n    password_file: %s/pass\n    policy: %s/policy.yaml\n    to: partner\n", server.User, server.Addr, dir, dir)
}

// TestAdminPage: an operator logs in with Chromium, runs a migration from a real vsftpd and watches it, releases a file from quarantine
// with a reason, and closes a session; nothing on the pages is a barrier.
func TestAdminPage(t *testing.T) {
	l := newLab(t)
	l.storages = slowSource(t, "") + heldSource(t)
	s := l.serve()
	axe := servers.Axe(t)
	b := newBrowser(t, "https://"+s.admin)
	b.open("/jobs")
	b.waitText("One-time code")
	b.barriers(axe, "login")
	b.logInAdmin(s.adminPassword)

	b.open("/jobs/source-partner")
	b.press("button", "Run now")
	b.waitText("incomplete") // by the script: the page was not loaded again
	b.open("/jobs/source-slow")
	b.press("button", "Run now")
	b.wait(`document.querySelectorAll("#now progress").length === 2 && document.querySelector("#now progress").value > 0`)
	first := eval[int](b, `document.querySelector("#now progress").value`)
	b.wait(fmt.Sprintf(`document.querySelector("#now progress").value > %d`, first))
	b.wait(`document.querySelector("#now .plot .line0").getAttribute("points").split(" ").length > 3`)
	b.picture("admin-job")

	sftp := clientCommand(t, "sftp", "", s.sftpArgs()...)
	sftp.Stdin = nil
	in, err := sftp.StdinPipe()
	mustDo(t, err)
	mustDo(t, sftp.Start())
	big := filepath.Join(t.TempDir(), "big.bin")
	writeFile(t, big, bytes.Repeat([]byte("x"), 1<<20))
	_, err = io.WriteString(in, "put "+big+" upload.bin\n")
	mustDo(t, err)
	b.open("/sessions")
	b.waitText("SSH-2.0-OpenSSH")
	b.open("/")
	b.waitText("Jobs that run here")
	b.picture("admin-overview")

	b.open("/quarantine")
	b.waitText("report-2026.pdf")
	b.waitText("wrong.txt")
	b.press("a", "partner/wrong.txt")
	b.waitText("proved bad, and cannot be released")
	b.open("/quarantine")
	b.press("a", "report-2026.pdf")
	b.waitText("What is known of it")
	b.picture("admin-quarantine")
	b.fill("#release-reason", "the partner read the digest to me by phone")
	b.waitText("Released: the file is published.")
	b.wait(`!document.querySelector("main").innerText.includes("report-2026.pdf")`)
	if data, err := os.ReadFile(s.files("partner", "report-2026.pdf")); err != nil || string(data) != "a report without a checksum\n" {
		t.Errorf("the released file: %q, %v", data, err)
	}
	if out := s.must("explain", "partner/report-2026.pdf"); !strings.Contains(strings.Join(strings.Fields(out), " "), "by admin, who says: the partner read the digest to me by phone") {
		t.Errorf("who released it, and why, is not known:\n%s", out)
	}

	b.open("/sessions")
	b.waitText("SSH-2.0-OpenSSH")
	b.picture("admin-sessions")
	b.agree()
	b.press("button", "Close")
	b.waitText("The session was closed.")
	_, _ = io.WriteString(in, "ls\n") // it finds out at the latest now
	_ = in.Close()
	if err := sftp.Wait(); err == nil {
		t.Error("sftp ended as if nothing had been")
	}
	b.waitText("Nobody is connected.")
	b.open("/jobs/source-slow")
	b.agree()
	b.press("button", "Stop")
	b.waitText("Stopped by admin")

	for _, look := range []struct {
		width, height int64
		scheme        string
	}{{1280, 800, "light"}, {1280, 800, "dark"}, {390, 844, "light"}} {
		b.looks(look.width, look.height, look.scheme)
		if look.width < 400 {
			b.open("/")
			b.picture("admin-phone")
		}
		for _, path := range []string{"/", "/jobs", "/jobs/source-slow", "/quarantine", "/sessions", "/bans", "/storage", "/users", "/certificates", "/log", "/tokens"} {
			b.open(path)
			what := fmt.Sprintf("%s at %d in %s", path, look.width, look.scheme)
			// What the scheme and the width change is seen on some of them.
			if look.width > 1000 && look.scheme == "light" || path == "/" || path == "/jobs/source-slow" {
				b.barriers(axe, what)
			}
			if over := eval[int](b, `document.documentElement.scrollWidth - document.documentElement.clientWidth`); over > 0 {
				t.Errorf("%s is %d pixels too wide", what, over)
			}
		}
	}
	b.looks(1280, 800, "light")
	b.press("button", "Log out")
	b.waitText("One-time code")
	b.complaints()
}

// TestAdminClosesBrowser: a browser on the users' page is seen, and has to log in again once its session was closed.
func TestAdminClosesBrowser(t *testing.T) {
	s := newLab(t).serve()
	o := s.operator("")
	b := newBrowser(t, "https://"+s.https)
	b.open("/")
	b.fill("[name=user]", s.user)
	b.fill("[name=password]", s.password)
	b.waitText(s.user)
	type session struct{ ID, User, Protocol, Client string }
	var seen []session
	waitFor(t, "the browser", func() bool {
		seen = nil
		for _, v := range get[[]session](o, "/api/v1/sessions") {
			if v.Protocol == "page" && v.User == s.user && strings.Contains(v.Client, "Mozilla") {
				seen = append(seen, v)
			}
		}
		return len(seen) > 0
	})
	o.want(204, "DELETE", "/api/v1/sessions/"+seen[0].ID, "")
	waitFor(t, "the login", func() bool { // the page believes for ten seconds what it knows
		b.open("/")
		return eval[bool](b, `document.querySelector("[name=password]") !== null`)
	})
}

// TestAdminPageWithoutScript: with scripts off, and with the keyboard alone.
func TestAdminPageWithoutScript(t *testing.T) {
	l := newLab(t)
	l.storages = "sources:\n" + heldSource(t)
	s := l.serve()
	b := newBrowser(t, "https://"+s.admin)
	b.scripts(false)
	b.open("/quarantine")
	b.waitText("One-time code")
	b.do(chromedp.KeyEvent("admin\t" + s.adminPassword + "\r")) // the first field has the focus
	b.waitText("Nothing is in quarantine.")
	b.open("/jobs/source-partner")
	b.press("button", "Run now")
	b.waitText("The job begins.")
	waitFor(t, "the quarantine", func() bool {
		b.open("/quarantine")
		return eval[bool](b, `document.body.innerText.includes("report-2026.pdf")`)
	})
	b.press("a", "report-2026.pdf")
	b.waitText("Why it is thrown away")
	b.fill("#reject-reason", "nobody knows it")
	b.waitText("Rejected: the file was thrown away.")
	b.complaints()
}
