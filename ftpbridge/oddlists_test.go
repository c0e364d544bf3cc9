package ftpbridge

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"testing"

	"gateway/listing"
)

// Whatever a listing looks like, it is read, or the run is none that went well: a
// listing of something never counts as one of nothing.
func TestMigrateOddListings(t *testing.T) {
	for name, list := range map[string]string{
		"ls without owner":      "-rw-r--r-- 1 ftp 4 Jan 02 2020 f\r\n",
		"ls without links":      "-rw-r--r-- ftp ftp 4 Jan 02 2020 f\r\n",
		"ls, ISO times":         "-rw-r--r-- 1 ftp ftp 4 2020-01-02 03:04 f\r\n",
		"ls, French months":     "-rw-r--r-- 1 ftp ftp 4 2 janv. 2020 f\r\n",
		"ls, Japanese":          "-rw-r--r-- 1 ftp ftp 4 1\u6708 2\u65e5 2020 f\r\n",
		"ls with an ACL mark":   "-rw-r--r--+ 1 ftp ftp 4 Jan 02 2020 f\r\n",
		"ls -i":                 "123456 -rw-r--r-- 1 ftp ftp 4 Jan 02 2020 f\r\n",
		"EPLF":                  "+i8388621.48594,m825718503,r,s4,\tf\r\n",
		"NetWare":               "- [RWCEAFMS] anna 4 Jan 02 2020 f\r\n",
		"DOS, four-digit years": "01-02-2020  03:04AM                    4 f\r\n",
		"DOS, dots":             "02.01.20  03:04                    4 f\r\n",
		"names alone":           "f\r\n",
		"LF line ends":          "-rw-r--r-- 1 ftp ftp 4 Jan 02 2020 f\n",
		"no line end":           "-rw-r--r-- 1 ftp ftp 4 Jan 02 2020 f",
		"CR line ends":          "-rw-r--r-- 1 ftp ftp 4 Jan 02 2020 f\r",
		"XML":                   "<file><name>f</name><size>4</size></file>\r\n",
		"HTML":                  "<html><body><a href=\"f\">f</a> 4 bytes</body></html>\r\n",
		"JSON":                  "[{\"name\":\"f\",\"size\":4}]\r\n",
		"UTF-16":                "\xff\xfe-\x00r\x00w\x00-\x00r\x00\r\x00\n\x00",
		"an error":              "/bin/ls: cannot open directory '.': Permission denied\r\n",
		"an error in German":    "ls: Zugriff verweigert\r\n",
		"an error of the pool":  "421 Too many users\r\n",
		"binary":                "\x00\x01\x02\x03\xff\xfe\r\n\x80\x81\r\n",
		"one word":              "ERROR\r\n",
		"a total alone":         "total 8\r\nf 4 whatever this is\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := (&scripted{lists: map[string]string{"": list}, files: map[string]string{"/f": "four"}}).start(t)
			rep, err := Migrate(testContext(t), newMove(t, srv.source(t, "")).o)
			switch {
			case err != nil:
				want(t, err, []error{ErrListing})
			case rep.Published.Files == 1 && rep.Published.Bytes == 4 && rep.Complete():
			case rep.Complete():
				t.Errorf("it went well, with %+v", rep.Published)
			case rep.Unread.Total == 0 && rep.Failed.Total == 0 && rep.Skipped.Total == 0:
				t.Errorf("nobody knows why: %s", text(rep))
			}
		})
	}
}

// Octal sizes, as some servers list them, are not those of the files.
func TestMigrateOctalSizes(t *testing.T) {
	body := random(100)
	srv := (&scripted{lists: map[string]string{"": "-rw-r--r-- 1 ftp ftp 0144 Jan 02 2020 f\r\n"}, files: map[string]string{"/f": body}}).start(t)
	m := newMove(t, srv.source(t, ""))
	m.run()
	equal(t, m.files(), map[string]string{"f": body})
}

// Names in the charsets of old servers arrive as what they say, and the file is
// asked for by the bytes that were listed.
func TestMigrateCharsets(t *testing.T) {
	for charset, names := range map[string][]string{
		"GBK":          {"新建文件夹", "测试.txt", "年度报告.doc", "合同"},
		"EUC-KR":       {"새 폴더", "한글 문서.hwp", "보고서", "계약서.doc"},
		"Shift_JIS":    {"新しいフォルダ", "ソート.txt", "見積書.xls", "テスト.txt"},
		"windows-1251": {"Документы", "Отчет за год.xls", "Фотографии", "Договор.doc"},
	} {
		for _, said := range []string{"", charset} {
			t.Run(charset+" "+said, func(t *testing.T) {
				t.Parallel()
				srv := &scripted{files: map[string]string{}}
				list, expected := dots(), map[string]string{}
				for i, name := range names {
					raw, err := listing.Encode(name, charset)
					if err != nil {
						t.Fatal(err)
					}
					body := fmt.Sprint("file ", i)
					list += unixLine(string(raw), len(body))
					srv.files["/"+string(raw)], expected[name] = body, body
				}
				srv.lists = map[string]string{"": list}
				srv.start(t)
				src := srv.source(t, "")
				src.Charset = said
				m := newMove(t, src)
				if rep := m.run(); !rep.Complete() {
					t.Error(text(rep))
				}
				equal(t, m.files(), expected)
			})
		}
	}
}

// countingReader gives piece for ever.
type countingReader struct {
	piece string
	n     int
}

func (r *countingReader) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		m := copy(p[n:], r.piece[r.n%len(r.piece):])
		n += m
		r.n += m
	}
	return n, nil
}

// The bounds of a reply hold by themselves: no timeout is needed to end it.
func TestReplyBounds(t *testing.T) {
	for name, c := range map[string]struct {
		head, piece string
		most        int
	}{
		"a line":      {"", "2", 2 * MaxReplyLine},
		"lines":       {"213-begun\r\n", "213-more and more\r\n", 2 * MaxReply},
		"other lines": {"213-begun\r\n", "no code\r\n", 2 * MaxReply},
		"blank lines": {"", "\r\n", 2 * MaxReply},
	} {
		in := &countingReader{piece: c.piece}
		_, err := readReply(bufio.NewReader(io.MultiReader(strings.NewReader(c.head), io.LimitReader(in, 64<<20))))
		want(t, err, []error{ErrProtocol})
		if in.n > c.most+8192 {
			t.Errorf("%s: %d bytes were read", name, in.n)
		}
	}
}

// So does that of preliminary replies.
func TestPreliminaryBound(t *testing.T) {
	srv := (&scripted{handlers: map[string]func(*talk, string){"SIZE": func(c *talk, _ string) {
		_, _ = io.WriteString(c, strings.Repeat("110 wait\r\n", maxPreliminary+1)+"213 5\r\n")
	}}}).start(t)
	_, err := srv.dial(t).Size(testContext(t), "/f")
	want(t, err, []error{ErrProtocol}, "preliminary")
}
