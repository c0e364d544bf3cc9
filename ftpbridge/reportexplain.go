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
// a proof is of bytes and a user may have changed them.
func Explain(ctx context.Context, store state.Store, dest storage.FS, destName, target string) (string, error) {
	name, err := storage.CleanName(target)
	if err != nil {
		return "", fmt.Errorf("explain: %w", err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", printable(name))
	pub, err := store.Publication(ctx, publicationKey(destName, name))
	published := err == nil
	if err != nil && !errors.Is(err, state.ErrNotFound) {
		return "", fmt.Errorf("explain: %w", err)
	}
	if published {
		explainPublication(&b, pub)
		if err := explainPresent(ctx, &b, dest, name, pub); err != nil {
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
		if f.Phase != state.Published || !published {
			explainFile(&b, owner, f, published)
		}
	}
	if lines == 0 && !published {
		b.WriteString("  No migration has met this name: nothing is known of where it came from.\n")
	}
	return b.String(), nil
}

func explainPublication(b *strings.Builder, p state.Publication) {
	verdict := map[string]string{
		string(integrity.Authentic):  "authentic: a trusted signature covers these bytes and this name",
		string(integrity.Intact):     "intact: a checksum from the same server matches, which proves that nothing broke on the way and no more",
		string(integrity.Unverified): "unverified: nothing proves where it comes from",
	}[p.Verdict]
	if verdict == "" {
		verdict = p.Verdict
	}
	fmt.Fprintf(b, "  Published %s.\n", p.Published.UTC().Format(time.DateTime+" MST"))
	fmt.Fprintf(b, "  From:    %s\n", p.Source)
	fmt.Fprintf(b, "  Verdict: %s.\n", verdict)
	fmt.Fprintf(b, "  Because: %s.\n", strings.TrimSuffix(p.Reason, "."))
	fmt.Fprintf(b, "  Bytes:   %d, SHA-256 %s.\n", p.Size, hex.EncodeToString(p.SHA256))
}

// explainPresent says so if the published bytes are not what readers see now.
func explainPresent(ctx context.Context, b *strings.Builder, dest storage.FS, name string, p state.Publication) error {
	same, _, err := sameBytes(ctx, dest, name, p.Size, p.SHA256, nil)
	if err != nil || same {
		return err
	}
	if _, err := dest.Stat(ctx, name); errors.Is(err, fs.ErrNotExist) {
		b.WriteString("  But it is not there any more: somebody removed it since.\n")
	} else {
		b.WriteString("  But something else is there now, of which nothing is proved: somebody changed it since.\n")
	}
	return nil
}

func explainFile(b *strings.Builder, job state.Job, f state.File, published bool) {
	if published {
		b.WriteString("  That version stays. Of a newer one on the source:\n")
	}
	because := func(what string) {
		fmt.Fprintf(b, "  %s.\n  From:    %s in %s\n", what, printable(f.Path), job.Source)
		if f.Reason != "" {
			fmt.Fprintf(b, "  Because: %s.\n", strings.TrimSuffix(f.Reason, "."))
		}
	}
	switch f.Phase {
	case state.Quarantined:
		because("Not published: it is in quarantine since " + f.Updated.UTC().Format(time.DateTime+" MST"))
		if f.Verdict == string(integrity.Bad) {
			fmt.Fprintf(b, "  It was proved bad and cannot be released; \"gateway quarantine reject %s\" removes it.\n", quarantineID(f))
		} else {
			fmt.Fprintf(b, "  \"gateway quarantine release %s\" publishes it as %s, \"reject\" removes it.\n", quarantineID(f), f.Verdict)
		}
	case state.Rejected:
		because("Not published: an operator rejected it; it is fetched again when it changes on the source")
	case state.Failed:
		because("Not published: it failed")
		if f.Retry {
			b.WriteString("  This may pass by itself: migrate again.\n")
		}
	case state.Published:
		because("Published, but its record is missing")
	default:
		because("Not published: the migration has not finished it; migrate again")
		if f.Offset > 0 {
			fmt.Fprintf(b, "  %d of %d bytes are there.\n", f.Offset, f.Size)
		}
	}
}
