package listing

import "bytes"

// jesParser reads the jobs of z/OS after SITE FILETYPE=JES, in both interface levels, and the spool files of a job.
//
//	ANNA1     JOB01906  OUTPUT    3 Spool Files
//
//	JOBNAME  JOBID    OWNER    STATUS CLASS
//	ANNA1    JOB01906 ANNA     OUTPUT A        RC=0000
//	--------
//	         ID  STEPNAME PROCSTEP C DDNAME   BYTE-COUNT
//	         001 JES2              A JESMSGLG      1169
//	1 spool files
//
// A job is named by its id and a spool file by the id, a dot and its number, since RETR and DELE want them so.
type jesParser struct {
	seen    bool
	files   bool // what follows are the spool files of a job
	records bool // which are counted in records, not in bytes
	id      string
	prefix  string // of the names of spool files
	entries int    // of this window
	heading int    // the number of the entry that is but the heading of spool files, from 1
}

func (p *jesParser) parse(c *cursor, e *Entry) (verdict, string) {
	c.prefix = ""
	var w row
	w.split(c.line)
	if p.header(&w) {
		p.seen = true
		return header, ""
	}
	if p.files && !w.more && p.spoolFile(c, e, &w) {
		p.entries++
		return full, ""
	}
	v := p.job(c, e, &w)
	if v == miss {
		return miss, "no status of a job"
	}
	p.seen, p.files = true, false
	p.entries++
	return v, ""
}

// header reports whether the line is one around the jobs or the spool files.
func (p *jesParser) header(w *row) bool {
	switch {
	case w.is(0, false, "JOBNAME") && w.is(1, false, "JOBID"):
		p.files = false
		return true
	case w.is(0, false, "ID") && w.is(1, false, "STEPNAME"):
		p.records = !bytes.HasPrefix(w.word(5), []byte("BYTE"))
		p.prefix, p.files = "", true
		return true
	case w.is(0, false, "No") && w.is(1, false, "jobs") && w.is(2, false, "found"):
		return true
	case !p.seen:
		return false
	case w.n == 1:
		return len(bytes.Trim(w.word(0), "-")) == 0
	case w.n == 3 && allDigits(w.word(0)):
		return w.titled(1, "spool") && w.titled(2, "files")
	}
	// of a running job: "STEPNAME STEP1  PROCNAME  N/A", "CPUTIME  0.1 ELAPSED TIME  3.2", "STEP, PROC, ... unknown"
	return w.is(0, false, "STEPNAME") || w.is(0, false, "CPUTIME") || w.is(0, false, "STEP,")
}

// job reads "name id status [n Spool Files]" and "name id owner status class [result [n spool files]]".
func (p *jesParser) job(c *cursor, e *Entry, w *row) verdict {
	if w.n < 3 || len(w.word(0)) > 8 || !jobID(w.word(1)) {
		return miss
	}
	v := full
	switch {
	case jobStatus(w.word(2)):
		if w.n > 4 && !w.titled(4, "spool") {
			v = weak
		}
	case jobStatus(w.word(3)) && len(w.word(2)) <= 8:
		if len(bytes.Trim(w.word(2), "+")) > 0 { // started tasks may be nobody's: ++++++++
			e.Owner = w.str(c, 2)
		}
	default:
		return miss
	}
	p.id = w.str(c, 1)
	c.name(w.at[1].lo, w.at[1].hi)
	return v
}

// jobID reads JOB01906, TSU00024, STC00001 and, on systems with many jobs, J0123456.
func jobID(b []byte) bool {
	n := 0
	for n < len(b) && b[n] >= 'A' && b[n] <= 'Z' {
		n++
	}
	return (n == 1 || n == 3) && len(b) <= 8 && len(b)-n >= 3 && allDigits(b[n:])
}

func jobStatus(b []byte) bool {
	switch string(b) {
	case "INPUT", "HELD", "ACTIVE", "OUTPUT":
		return true
	}
	return false
}

// spoolFile reads "number step [procstep] class ddname count [comment]".
func (p *jesParser) spoolFile(c *cursor, e *Entry, w *row) bool {
	if w.n < 5 || !allDigits(w.word(0)) || len(w.word(0)) > 6 {
		return false
	}
	class := 3
	if len(w.word(2)) == 1 && len(w.word(3)) > 1 {
		class = 2
	}
	count, ok := w.number(class + 2)
	if len(w.word(class)) != 1 || !ok {
		return false
	}
	if !p.records {
		e.Size = count
	}
	if p.prefix == "" && p.id != "" {
		p.prefix = p.id + "."
		p.heading = p.entries
	}
	lo, hi := w.at[0].lo, w.at[0].hi
	for lo < hi-1 && c.line[lo] == '0' {
		lo++
	}
	c.prefix = p.prefix
	c.name(lo, hi)
	return true
}

// finish drops the job above the list of its spool files: there it is the directory, not an entry.
func (p *jesParser) finish(entries []Entry) []Entry {
	if i := p.heading; i > 0 && i <= len(entries) {
		entries = append(entries[:i-1], entries[i:]...)
	}
	p.entries, p.heading = 0, 0
	return entries
}
