package ftpbridge

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"strings"
	"time"

	"gateway/state"
	"gateway/storage"
)

// pushState is what a line of the ledger remembers of a file that is sent, in its
// Token. Names are raw bytes of the server, quoted by the encoding.
type pushState struct {
	ETag string `json:"etag"`           // of the version that Temp or Sent is of
	Temp []byte `json:"temp,omitempty"` // temporary path on the server
	// Free says that all of it is under Temp, Size bytes, and that the final name may
	// be taken: it was free, or has what may be replaced.
	Free bool      `json:"free,omitempty"`
	Size int64     `json:"size,omitempty"`
	Sent *sentFile `json:"sent,omitempty"` // what this job put there last
}

// sentFile is what the server said of a file after it got its name.
type sentFile struct {
	Size int64     `json:"size"`
	Time time.Time `json:"time"` // zero: it tells none
}

func parsePushState(token string) (s pushState) {
	if json.Unmarshal([]byte(token), &s) != nil {
		return pushState{} // it is sent anew
	}
	return s
}

func (s pushState) token() string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err) // no field of it can fail
	}
	return string(b)
}

// scan walks the folder and brings the ledger up to date: lines that are new or
// changed become found, the others keep their phase.
func (p *pusher) scan(ctx context.Context) error {
	if _, err := p.Source.Stat(ctx, p.Folder); err != nil {
		return err
	}
	var batch []state.File
	for e, err := range storage.Walk(ctx, p.Source, p.Folder) {
		if err != nil {
			return err
		}
		if e.IsDir() {
			if e.Link {
				p.skip(e.Name, "it is a link to a folder; links to folders are not followed")
			} else if e.Name != p.Folder {
				p.progress.update(func(r *Report) { r.Folders++ })
			}
			continue
		}
		if !e.Mode.IsRegular() {
			p.skip(e.Name, "it is neither a file nor a folder")
			continue
		}
		rel := strings.TrimPrefix(strings.TrimPrefix(e.Name, p.Folder), "/")
		batch = append(batch, state.File{
			Job: p.job.ID, Path: rel, Target: rel, Phase: state.Found, Size: e.Size, ModTime: e.ModTime.UTC(), TimePrecision: 1,
			Token: pushState{ETag: e.ETag}.token(), Seen: p.start, Updated: p.Now(),
		})
		p.progress.update(func(r *Report) { r.Found.add(e.Size) })
		if len(batch) == scanBatch {
			if err := p.flush(ctx, batch); err != nil {
				return err
			}
			batch = batch[:0]
		}
	}
	return p.flush(ctx, batch)
}

func (p *pusher) skip(name, reason string) {
	p.progress.update(func(r *Report) { r.Skipped.add(Item{Path: printable(name), Reason: reason}) })
}

func (p *pusher) flush(ctx context.Context, batch []state.File) error {
	paths := make([]string, len(batch))
	for i, f := range batch {
		paths[i] = f.Path
	}
	known, err := p.Store.GetFiles(ctx, p.job.ID, paths...)
	if err != nil {
		return fatal(err)
	}
	for i := range batch {
		now := &batch[i]
		old, ok := known[now.Path]
		if !ok {
			continue
		}
		was, is := parsePushState(old.Token), parsePushState(now.Token)
		switch {
		case old.Phase == state.Published && was.ETag == is.ETag:
			old.Seen = p.start
			if err := p.settled(ctx, old, was); err != nil {
				return err
			}
			*now = old
		case old.Phase == state.Published:
			now.Token = was.token() // what is there may be replaced: it is ours
		default:
			// What is on its way is looked at when its turn comes.
			old.Seen, old.Size, old.ModTime, old.TimePrecision = p.start, now.Size, now.ModTime, now.TimePrecision
			*now = old
		}
	}
	if err := p.Store.PutFiles(ctx, batch...); err != nil {
		return fatal(err)
	}
	var e Event
	p.progress.update(func(r *Report) {
		e = Event{Action: ActionPush, Kind: EventWalked, Files: r.Found.Files, Bytes: r.Found.Bytes}
	})
	p.progress.event(e)
	return nil
}

// settled is for a file that an earlier run sent, and perhaps did not get to remove.
func (p *pusher) settled(ctx context.Context, f state.File, s pushState) error {
	p.progress.update(func(r *Report) { r.Unchanged.add(f.Size) })
	return p.after(ctx, f, s)
}

// after removes a file of the gateway that was sent, if that is wanted and it is
// still the version that was.
func (p *pusher) after(ctx context.Context, f state.File, s pushState) error {
	if p.After != DeletePushed {
		return nil
	}
	name := storage.Join(p.Folder, f.Path)
	info, err := p.Source.Stat(ctx, name)
	if err == nil && info.ETag != s.ETag {
		return nil // it is sent, too, first
	}
	if err == nil {
		err = p.Source.Remove(ctx, name)
	}
	switch {
	case err == nil:
		p.progress.update(func(r *Report) { r.Deleted++ })
	case errors.Is(err, fs.ErrNotExist):
	case ctx.Err() != nil:
		return ctx.Err()
	default:
		p.progress.update(func(r *Report) {
			r.Warnings = append(r.Warnings[:min(len(r.Warnings), maxPushWarnings)],
				"a file was sent and could not be deleted here: "+printable(f.Path)+": "+plain(err))
		})
	}
	return nil
}

// maxPushWarnings bounds the warnings of a report; the latest takes the last place.
const maxPushWarnings = 100
