package tests

import (
	"encoding/xml"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
)

// listing is what is in a folder: sizes of files, -1 for folders.
type listing map[string]int64

// listSFTP and listWeb list a folder over the two protocols.
func (c *soakClient) listSFTP(folder string) (listing, error) {
	remote, err := c.sftp()
	if err != nil {
		return nil, err
	}
	infos, err := remote.ReadDir("/" + folder)
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", folder, err)
	}
	all := listing{}
	for _, info := range infos {
		all[info.Name()] = info.Size()
		if info.IsDir() {
			all[info.Name()] = -1
		}
	}
	return all, nil
}

// multistatus is the part of an answer to PROPFIND that is looked at (RFC 4918, section 14.16).
type multistatus struct {
	Responses []struct {
		Href     string `xml:"DAV: href"`
		PropStat []struct {
			Status string `xml:"DAV: status"`
			Prop   struct {
				Length *int64 `xml:"DAV: getcontentlength"`
				Type   struct {
					Folder *struct{} `xml:"DAV: collection"`
				} `xml:"DAV: resourcetype"`
			} `xml:"DAV: prop"`
		} `xml:"DAV: propstat"`
	} `xml:"DAV: response"`
}

func (c *soakClient) listWeb(folder string) (listing, error) {
	a, err := c.want([]int{http.StatusMultiStatus}, "PROPFIND", folder, nil, "Depth", "1")
	if err != nil {
		return nil, err
	}
	var m multistatus
	if err := xml.Unmarshal(a.body, &m); err != nil {
		return nil, fmt.Errorf("PROPFIND %s: %w", folder, err)
	}
	all := listing{}
	for _, r := range m.Responses {
		name, err := url.PathUnescape(r.Href)
		if err != nil {
			return nil, err
		}
		if name = strings.Trim(name, "/"); name == folder {
			continue
		}
		all[path.Base(name)] = -2
		for _, p := range r.PropStat {
			switch {
			case p.Prop.Type.Folder != nil:
				all[path.Base(name)] = -1
			case p.Prop.Length != nil:
				all[path.Base(name)] = *p.Prop.Length
			}
		}
	}
	return all, nil
}

// list compares a folder with what the client knows of it.
func (c *soakClient) list() error {
	folder := c.pickDir()
	over, protocol := c.listWeb, "HTTPS"
	if c.dice(2) {
		over, protocol = c.listSFTP, "SFTP"
	}
	got, err := over(folder)
	if err != nil {
		return err
	}
	want := listing{}
	for dir := range c.dirs {
		if path.Dir(dir) == folder {
			want[path.Base(dir)] = -1
		}
	}
	for name, f := range c.files {
		base := path.Base(name)
		switch {
		case path.Dir(name) != folder:
		case f.maybe != nil:
			delete(got, base)
		case f.data != nil:
			want[base] = int64(len(f.data))
		}
	}
	if !maps.Equal(got, want) {
		return fmt.Errorf("%s over %s lists %v, want %v", folder, protocol, got, want)
	}
	return nil
}

// freeDir is a folder that is not there.
func (c *soakClient) freeDir() string {
	c.names++
	return fmt.Sprintf("%s/d%d", c.folder, c.names)
}

// pickMovable returns a folder below the client's own in which everything is settled, and the files in it.
func (c *soakClient) pickMovable() (dir string, files []string) {
	dirs := slices.Sorted(maps.Keys(c.dirs))
	if len(dirs) == 0 {
		return "", nil
	}
	dir = dirs[c.random.IntN(len(dirs))]
	for name, f := range c.files {
		if path.Dir(name) != dir {
			continue
		}
		if !f.settled() {
			return "", nil
		}
		files = append(files, name)
	}
	slices.Sort(files)
	return dir, files
}

func (c *soakClient) makeDir() error {
	if len(c.dirs) >= 4 {
		return errNothing
	}
	dir := c.freeDir()
	if c.dice(2) {
		if _, err := c.want(created, "MKCOL", dir, nil); err != nil {
			return err
		}
	} else {
		remote, err := c.sftp()
		if err != nil {
			return err
		}
		if err := remote.Mkdir(dir); err != nil {
			return fmt.Errorf("%s: %w", dir, err)
		}
	}
	c.dirs[dir] = true
	_, err := c.want([]int{http.StatusMethodNotAllowed}, "MKCOL", dir, nil)
	return err
}

func (c *soakClient) moveDir() error {
	dir, files := c.pickMovable()
	if dir == "" {
		return errNothing
	}
	to := c.freeDir()
	if c.dice(2) {
		if _, err := c.want(created, "MOVE", dir, nil, "Destination", c.k.s.url(to)); err != nil {
			return err
		}
	} else {
		remote, err := c.sftp()
		if err != nil {
			return err
		}
		if err := remote.Rename(dir, to); err != nil {
			return fmt.Errorf("rename %s to %s: %w", dir, to, err)
		}
	}
	delete(c.dirs, dir)
	c.dirs[to] = true
	for _, name := range files {
		c.files[path.Join(to, path.Base(name))] = c.files[name]
		delete(c.files, name)
	}
	return nil
}

// copyDir copies a folder to a new one or over another.
func (c *soakClient) copyDir() error {
	dir, files := c.pickMovable()
	to, replaced := c.pickMovable()
	if dir == "" || dir == to || len(c.files) > 2*soakFiles {
		return errNothing
	}
	statuses := noBody
	if to == "" || len(c.dirs) < 4 {
		to, replaced, statuses = c.freeDir(), nil, created
	} else if _, err := c.want(failed, "COPY", dir, nil, "Destination", c.k.s.url(to), "Overwrite", "F"); err != nil {
		return err
	}
	if _, err := c.want(statuses, "COPY", dir, nil, "Destination", c.k.s.url(to)); err != nil {
		return err
	}
	c.dirs[to] = true
	for _, name := range replaced {
		delete(c.files, name)
	}
	for _, name := range files {
		c.published(path.Join(to, path.Base(name)), c.files[name].data)
	}
	return nil
}

func (c *soakClient) removeDir() error {
	dir, files := c.pickMovable()
	if dir == "" {
		return errNothing
	}
	if c.dice(2) {
		if _, err := c.want(noBody, http.MethodDelete, dir, nil); err != nil {
			return err
		}
	} else {
		remote, err := c.sftp()
		if err != nil {
			return err
		}
		if len(files) > 0 && remote.RemoveDirectory(dir) == nil {
			return fmt.Errorf("%s: a folder with files was removed", dir)
		}
		var errs []error
		for _, name := range files {
			errs = append(errs, remote.Remove(name))
		}
		if err := errors.Join(append(errs, remote.RemoveDirectory(dir))...); err != nil {
			return fmt.Errorf("%s: %w", dir, err)
		}
	}
	delete(c.dirs, dir)
	for _, name := range files {
		delete(c.files, name)
	}
	return nil
}
