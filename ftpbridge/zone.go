package ftpbridge

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gateway/listing"
)

// Bounds of FindZone.
const (
	zoneSamples = 8 // files that are asked for their time
	zoneFolders = 8 // folders that are listed to find them
	zoneAgree   = 2 // files that must agree at least
)

// ErrZone is for a zone that could not be found out.
var ErrZone = errors.New("the time zone of the listings is not known")

// zoneSample is a time as listed, on the clock of the server's zone, and what it
// is in UTC.
type zoneSample struct {
	offset time.Duration // east of UTC
	at     time.Time     // UTC
}

// FindZone finds out in which zone a server's listings give times, by asking for
// the times of a few files in UTC (MDTM, RFC 3659 section 3). It costs at most
// zoneFolders listings and zoneSamples questions, beginning in the source's folder,
// and nothing where Source.Location is set or listings name their zone (MLSD).
//
// The zone is one of a fixed offset, unless the files show summer time; then it is
// one of those that have had these offsets at these times. It is nil where
// listings name their zone. Where files do not agree, too few have a time of day,
// or the server has no MDTM or one that is of no use, the error wraps ErrZone and
// says so.
func FindZone(ctx context.Context, s Remote) (*time.Location, error) {
	var in zoneFiles
	folders := []string{""}
	for i := 0; i < len(folders) && i < zoneFolders && len(in.files) < zoneSamples; i++ {
		in.dir, in.join, in.before = folders[i], s.Join, len(in.files)
		if _, err := listInto(ctx, s, folders[i], &in); err != nil {
			if i == 0 || s.Broken() {
				return nil, err
			}
			continue
		}
		if in.named {
			return nil, nil
		}
		if err := tellsUTC(s.Info()); err != nil {
			return nil, err
		}
		folders = append(folders, in.folders...)
	}
	samples, err := in.ask(ctx, s)
	if err != nil {
		return nil, err
	}
	return zoneOf(samples)
}

// tellsUTC is why a server's MDTM is of no use.
func tellsUTC(info ServerInfo) error {
	switch info.Software {
	case "vsftpd", "pyftpdlib":
		// With use_localtime (vsftpd.conf(5)), or without use_gmt_times, MDTM is
		// local time too, so the two always agree.
		return fmt.Errorf("%w: %s gives the times of listings and of MDTM in one and the same, whichever it is", ErrZone, info.Software)
	}
	if len(info.Features) > 0 && !info.Has("MDTM") {
		return fmt.Errorf("%w: the server does not tell times in UTC (MDTM)", ErrZone)
	}
	return nil
}

// zoneFiles is a sink that picks files with a time of day.
type zoneFiles struct {
	dir     string
	join    func(dir, name string) string
	files   []zoneFile
	before  int      // of files, those of other folders
	folders []string // of this folder, as many as can be of use
	named   bool     // times name their zone
}

type zoneFile struct {
	path string
	time listing.Time
}

func (z *zoneFiles) reset() {
	z.files, z.folders, z.named = z.files[:min(z.before, len(z.files))], nil, false
}

func (z *zoneFiles) add(e *listing.Entry) error {
	t := e.ModTime
	switch {
	case t.Precision != listing.Unknown && t.ZoneKnown:
		z.named = true
	case e.Type == listing.Dir && len(z.folders) < zoneFolders:
		z.folders = append(z.folders, z.join(z.dir, e.RawName))
	case e.Type != listing.File || t.Precision != listing.Minute && t.Precision != listing.Second:
	case len(z.files) < zoneSamples:
		z.files = append(z.files, zoneFile{z.join(z.dir, e.RawName), t})
	}
	return nil
}

// ask compares the files' times with what the server says of them in UTC. Files
// that it does not speak of do not count.
func (z *zoneFiles) ask(ctx context.Context, s Remote) ([]zoneSample, error) {
	var samples []zoneSample
	for _, f := range z.files {
		at, err := s.ModTime(ctx, f.path)
		switch {
		case errors.Is(err, ErrUnsupported):
			return nil, fmt.Errorf("%w: the server does not tell times in UTC (MDTM)", ErrZone)
		case err != nil && (s.Broken() || ctx.Err() != nil):
			return nil, err
		case err != nil:
			continue
		}
		offset := inZone(f.time.Time, time.UTC).Sub(at.Truncate(precision(f.time.Precision)))
		if offset%(15*time.Minute) != 0 || offset < -12*time.Hour || offset > 14*time.Hour {
			return nil, fmt.Errorf("%w: a file is listed with %s and is of %s in UTC, which no zone explains",
				ErrZone, f.time.Format("2006-01-02 15:04"), at.Format("2006-01-02 15:04"))
		}
		samples = append(samples, zoneSample{offset, at})
	}
	return samples, nil
}

func zoneOf(samples []zoneSample) (*time.Location, error) {
	if len(samples) < zoneAgree {
		return nil, fmt.Errorf("%w: only %d files have a time of day, %d are needed", ErrZone, len(samples), zoneAgree)
	}
	least, most := samples[0].offset, samples[0].offset
	for _, s := range samples {
		least, most = min(least, s.offset), max(most, s.offset)
	}
	if least == most {
		return fixedZone(least), nil
	}
	for _, name := range summerZones() {
		zone, err := time.LoadLocation(name)
		if err == nil && fitsZone(zone, samples) {
			return zone, nil
		}
	}
	return nil, fmt.Errorf("%w: files differ, from UTC%s to UTC%s, and no summer time explains it", ErrZone, offsetText(least), offsetText(most))
}

func fitsZone(zone *time.Location, samples []zoneSample) bool {
	for _, s := range samples {
		if _, offset := s.at.In(zone).Zone(); time.Duration(offset)*time.Second != s.offset {
			return false
		}
	}
	return true
}

func fixedZone(offset time.Duration) *time.Location {
	if offset == 0 {
		return time.UTC
	}
	return time.FixedZone("UTC"+offsetText(offset), int(offset/time.Second))
}

func offsetText(offset time.Duration) string {
	sign := '+'
	if offset < 0 {
		sign, offset = '-', -offset
	}
	return fmt.Sprintf("%c%02d:%02d", sign, int(offset.Hours()), int(offset.Minutes())%60)
}

// summerZones are zones with summer time, one for each rule that is in use; where
// several have had the same offsets at all the times seen, any of them is right.
func summerZones() []string {
	return []string{
		"Europe/London", "Europe/Berlin", "Europe/Athens", "Europe/Chisinau", "Atlantic/Azores",
		"America/New_York", "America/Chicago", "America/Denver", "America/Los_Angeles", "America/Anchorage",
		"America/Halifax", "America/St_Johns", "America/Havana", "America/Santiago", "America/Asuncion",
		"Asia/Jerusalem", "Asia/Beirut", "Africa/Cairo", "Africa/Casablanca",
		"Australia/Sydney", "Australia/Adelaide", "Australia/Lord_Howe", "Pacific/Auckland", "Pacific/Chatham",
	}
}

// findZone looks for the zone where it matters: a file must not be left out for
// its time because the time was misread.
func (r *run) findZone(ctx context.Context) error {
	if r.filter == nil || r.filter.since.IsZero() || r.Source.Location != nil {
		return nil
	}
	var zone *time.Location
	err := r.retry(ctx, func(s Remote) (_ bool, err error) {
		zone, err = FindZone(ctx, s)
		return false, err
	})
	switch {
	case err == nil:
		r.filter.zone = zone
		return nil
	case !errors.Is(err, ErrZone):
		return err
	}
	r.progress.update(func(rep *Report) {
		rep.Warnings = append(rep.Warnings, plain(err)+
			"; files up to 12 hours older than asked for were taken along where the listing is all that tells their time; give the zone (--timezone)")
	})
	return nil
}
