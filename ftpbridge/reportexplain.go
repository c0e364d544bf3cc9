package ftpbridge

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"gateway/integrity"
	"gateway/state"
	"gateway/storage"
)

// Explain says in plain words what is known about a name in a storage: whether
// it is published, from where and with what proof, or why it is not. It ends
// with a line break. A name that no migration ever met is explained too. A
// published file is read from dest, the storage that destName stands for, since
// a proof is of bytes and a user may have changed them. The lines fit 80 columns,
// except where a name or URL is longer; nothing in them drives a terminal.
func Explain(ctx context.Context, store state.Store, dest storage.FS, destName, target string) (string, error) {
	name, err := storage.CleanName(target)
	if err != nil {
		return "", fmt.Errorf("explain: %w", err)
	}
	t := &textWriter{}
	t.line("%s", printable(name))
	pub, err := store.Publication(ctx, publicationKey(destName, name))
	published := err == nil
	if err != nil && !errors.Is(err, state.ErrNotFound) {
		return "", fmt.Errorf("explain: %w", err)
	}
	if published {
		explainPublication(t, pub)
		if !pub.Removed.IsZero() {
			t.line("  Removed   %s.", pub.Removed.UTC().Format(time.DateTime+" MST"))
			t.wrap("  ", "It had gone from the source, and the migration was to remove such files.")
		} else if err := explainPresent(ctx, t, dest, name, pub); err != nil {
			return "", fmt.Errorf("explain: %w", err)
		}
	}
	lines := 0
	seen := map[string]bool{}
	for job, err := range store.Jobs(ctx) {
		if err != nil {
			return "", fmt.Errorf("explain: %w", err)
		}
		if seen[job.Destination] || !strings.HasPrefix(job.Destination, destName+":") {
			continue
		}
		seen[job.Destination] = true
		owner, f, err := store.FileByTarget(ctx, job.Destination, name)
		if errors.Is(err, state.ErrNotFound) {
			continue
		}
		if err != nil {
			return "", fmt.Errorf("explain: %w", err)
		}
		lines++
		if f.Phase == state.Removed {
			continue // said above
		}
		if f.Phase != state.Published || !published {
			explainFile(t, owner, f, published && pub.Removed.IsZero())
		}
	}
	if lines == 0 && !published {
		t.wrap("  ", "No migration has met this name: nothing is known of where it came from.")
		if _, err := dest.Stat(ctx, name); err == nil {
			t.wrap("  ", "It is there all the same: somebody uploaded it, and nothing vouches for it but that.")
		}
	}
	return t.b.String(), nil
}

func explainPublication(t *textWriter, p state.Publication) {
	t.line("  Published %s.", p.Published.UTC().Format(time.DateTime+" MST"))
	t.wrap("  From:     ", shownText(p.Source))
	explainVerdict(t, p.Verdict)
	t.wrap("  Because:  ", sentence(p.Reason))
	t.wrap("  Bytes:    ", fmt.Sprintf("%d, SHA-256 %s", p.Size, hex.EncodeToString(p.SHA256)))
}

// explainVerdict says what a verdict promises and what it does not.
func explainVerdict(t *textWriter, verdict string) {
	if verdict == "" {
		return
	}
	t.wrap("  Verdict:  ", shownText(verdict))
	if does, not := integrity.Verdict(verdict).Promise(); does != "" {
		t.wrap("  Proves:   ", does+".")
		t.wrap("  Not:      ", not+".")
	}
}

// explainPresent says so if the published bytes are not what readers see now.
func explainPresent(ctx context.Context, t *textWriter, dest storage.FS, name string, p state.Publication) error {
	same, _, err := sameBytes(ctx, dest, name, p.Size, p.SHA256, nil)
	if err != nil || same {
		return err
	}
	if _, err := dest.Stat(ctx, name); errors.Is(err, fs.ErrNotExist) {
		t.wrap("  ", "But it is not there any more: somebody removed it since.")
	} else {
		t.wrap("  ", "But something else is there now, of which nothing is proved: somebody changed it since.")
	}
	return nil
}

func explainFile(t *textWriter, job state.Job, f state.File, published bool) {
	if published {
		t.line("  That version stays. Of a newer one on the source:")
	}
	because := func(what string) {
		t.wrap("  ", what+".")
		t.wrap("  From:     ", shownText(job.Source))
		t.wrap("  Named:    ", printable(f.Path))
		if f.Phase == state.Quarantined || f.Phase == state.Rejected {
			explainVerdict(t, f.Verdict)
		}
		if f.Reason != "" {
			t.wrap("  Because:  ", sentence(f.Reason))
		}
	}
	switch f.Phase {
	case state.Quarantined:
		because("Not published: it is in quarantine since " + f.Updated.UTC().Format(time.DateTime+" MST"))
		t.wrap("  Next:     ", quarantineAdvice(f))
	case state.Rejected:
		because("Not published: an operator rejected it; it is fetched again when it changes on the source")
	case state.Failed:
		because("Not published: it failed")
		if f.Retry {
			t.wrap("  Next:     ", "this may pass by itself: migrate again.")
		}
	case state.Published:
		because("Published, but its record is missing")
	default:
		because("Not published: the migration has not finished it; migrate again")
		if f.Offset > 0 {
			t.line("  %d of %d bytes are there.", f.Offset, f.Size)
		}
	}
}

func quarantineAdvice(f state.File) string {
	if f.Verdict == string(integrity.Bad) {
		return fmt.Sprintf("it was proved bad and cannot be released; \"gateway quarantine reject %s\" removes it.", quarantineID(f))
	}
	return fmt.Sprintf("\"gateway quarantine release %s\" publishes it as %s, \"reject\" removes it. Every run of the migration judges it again.",
		quarantineID(f), f.Verdict)
}

// sentence ends a reason from the ledger with one full stop.
func sentence(reason string) string { return strings.TrimSuffix(shownText(reason), ".") + "." }

// shownText escapes what could drive a terminal in text that is already written
// for people, and leaves the escapes that are in it.
func shownText(text string) string { return strings.ReplaceAll(printable(text), `\\`, `\`) }
