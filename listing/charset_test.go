package listing_test

import (
	"errors"
	"sync"
	"testing"
	"unicode"

	"golang.org/x/text/unicode/norm"
	"pgregory.net/rapid"

	"gateway/listing"
)

// mustEncode makes the bytes of a name as a server with that charset sends them.
func mustEncode(t testing.TB, charset string, names ...string) [][]byte {
	t.Helper()
	var out [][]byte
	for _, n := range names {
		b, err := listing.Encode(n, charset)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, b)
	}
	return out
}

// servers are names as they are found in directories of one charset.
var servers = []struct {
	charset string
	names   []string
}{
	{"windows-1252", []string{"café-menü.txt"}},
	{"windows-1252", []string{"Übersicht Größen.doc", "Straße.txt", "Anlagen.zip"}},
	{"windows-1252", []string{"résumé.doc", "élèves – été.xls", "Noël.jpg"}},
	{"windows-1252", []string{"año nuevo.txt", "Sueños_futbol", "niños"}},
	{"windows-1252", []string{"Relatório de produção.pdf", "Março.xls"}},
	{"windows-1252", []string{"Årsregnskab", "fotos på øen.zip", "Læs mig.txt"}},
	{"ISO-8859-15", []string{"cœur.txt", "sœur et bœuf.doc", "œuvres complètes"}},
	{"windows-1250", []string{"Příloha č. 3.doc", "Smlouva o dílo – návrh.doc", "Účetní závěrka.xls"}},
	{"windows-1250", []string{"Załącznik nr 1.doc", "Umowa zlecenie – wzór.doc", "Instrukcja_Obsługi.pdf"}},
	{"ISO-8859-2", []string{"Zestawienie śląskie.doc", "Łódź.txt", "części zamienne"}},
	{"windows-1254", []string{"Çalışma günlüğü.doc", "Yıllık faaliyet.xls", "şirket ağı"}},
	{"CP850", []string{"résumé.doc", "café.txt", "Größe.txt"}},
	{"windows-1251", []string{"Документы", "Отчет за год.xls", "Фотографии"}},
	{"windows-1251", []string{"Аватар_-_Avatar-(2009)-[1080p]_[BD]", "Авалон_-_Avalon-(2001)"}},
	{"KOI8-R", []string{"Документы", "Отчет за год.xls", "тест"}},
	{"CP866", []string{"Документы", "Отчет за год.xls", "тест"}},
	{"windows-1253", []string{"Έγγραφα", "φωτογραφίες", "Αναφορά.doc"}},
	{"Shift_JIS", []string{"テスト.txt", "ソート.txt"}},
	{"Shift_JIS", []string{"新しいフォルダ", "資料", "見積書.xls"}},
	{"EUC-JP", []string{"新しいフォルダ", "日本語の資料.txt"}},
	{"GB18030", []string{"新建文件夹", "测试.txt", "年度报告.doc"}},
	{"Big5", []string{"新增資料夾", "測試.txt", "年度報告.doc"}},
	{"EUC-KR", []string{"새 폴더", "한글 문서.hwp", "보고서"}},
	{"UTF-8", []string{"naïve.txt", "日本語.txt"}},
}

func TestDetector(t *testing.T) {
	for _, s := range servers {
		d := listing.NewDetector()
		raw := mustEncode(t, s.charset, s.names...)
		d.Observe(raw...)
		got, confidence := d.Charset()
		for i, b := range raw {
			if name := listing.Decode(b, got); name != s.names[i] {
				t.Errorf("%s: taken for %s (%.2f): %q, want %q", s.charset, got, confidence, name, s.names[i])
			}
		}
	}
}

func TestDetectorNothing(t *testing.T) {
	d := listing.NewDetector()
	d.Observe([]byte("README"), nil)
	if name, confidence := d.Charset(); name != "UTF-8" || confidence != 0 {
		t.Errorf("%s %v", name, confidence)
	}
}

func parseNames(t *testing.T, d *listing.Detector, raw ...[]byte) []string {
	t.Helper()
	var list []byte
	for _, n := range raw {
		list = append(list, "-rw-r--r-- 1 ftp ftp 1 Feb 25  2009 "...)
		list = append(append(list, n...), "\r\n"...)
	}
	r, err := listing.Parse(list, listing.Options{Detector: d})
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for i, e := range r.Entries {
		if e.RawName != string(raw[i]) {
			t.Errorf("raw name %q, want %q", e.RawName, raw[i])
		}
		out = append(out, e.Name)
	}
	return out
}

// TestMixedServer has one server whose directories are in different charsets: what a listing says clearly counts,
// and where it says little the other directories decide.
func TestMixedServer(t *testing.T) {
	latin := mustEncode(t, "windows-1252", "café-menü.txt", "Größe.txt", "été")
	sjis := mustEncode(t, "Shift_JIS", "テスト.txt", "ソート.txt", "表示.txt")
	for _, order := range [][2]int{{0, 1}, {1, 0}} {
		d := listing.NewDetector()
		for _, which := range order {
			if which == 0 {
				if got := parseNames(t, d, latin...); got[0] != "café-menü.txt" || got[2] != "été" {
					t.Errorf("Latin-1 directory: %q", got)
				}
			} else if got := parseNames(t, d, sjis...); got[0] != "テスト.txt" || got[1] != "ソート.txt" {
				t.Errorf("Shift_JIS directory: %q", got)
			}
		}
	}
	// one kanji by itself: alone it could be anything
	d := listing.NewDetector()
	d.Observe(mustEncode(t, "Shift_JIS", "新しいフォルダ", "テスト.txt")...)
	lone := mustEncode(t, "Shift_JIS", "麗.txt")
	if got := parseNames(t, d, lone...); got[0] != "麗.txt" {
		t.Errorf("with history: %q", got)
	}
}

func TestConfiguredCharset(t *testing.T) {
	raw := []byte("-rw-r--r-- 1 ftp ftp 1 Feb 25  2009 \xf0\xf2\xc9\xd7\xc5\xd4\n-rw-r--r-- 1 ftp ftp 1 Feb 25  2009 gr\xc3\xbc\xc3\x9fe\n")
	r, err := listing.Parse(raw, listing.Options{Charset: "koi8-r"})
	if err != nil || r.Entries[0].Name != "ПРивет" || r.Entries[1].Name != "grüße" || r.Charset != "KOI8-R" || r.CharsetConfidence != 1 {
		t.Errorf("%q %q %s %v", r.Entries[0].Name, r.Entries[1].Name, r.Charset, err)
	}
}

func TestEncodeErrors(t *testing.T) {
	if _, err := listing.Encode("日本", "windows-1252"); !errors.Is(err, listing.ErrEncode) {
		t.Errorf("missing character: %v", err)
	}
	if _, err := listing.Encode("日本한", "Shift_JIS"); !errors.Is(err, listing.ErrEncode) {
		t.Errorf("missing character: %v", err)
	}
	if _, err := listing.Encode("a\xff", "UTF-8"); !errors.Is(err, listing.ErrEncode) {
		t.Errorf("invalid UTF-8: %v", err)
	}
	if _, err := listing.Encode("a", "nosuch"); !errors.Is(err, listing.ErrCharset) {
		t.Errorf("unknown charset: %v", err)
	}
}

func TestEveryByteRoundTrips(t *testing.T) {
	for _, cs := range listing.Charsets() {
		for a := range 256 {
			checkRoundTrip(t, []byte{byte(a)}, cs)
			for b := range 256 * (a >> 7) { // behind a byte over 0x7F
				checkRoundTrip(t, []byte{byte(a), byte(b)}, cs)
			}
		}
	}
}

func checkRoundTrip(t rapid.TB, b []byte, cs string) {
	name := listing.Decode(b, cs)
	back, err := listing.Encode(name, cs)
	if err != nil || string(back) != string(b) {
		t.Fatalf("%s: %q is read as %q, which leads back to %q, %v", cs, b, name, back, err)
	}
	for _, r := range name {
		if unicode.IsControl(r) || r == unicode.ReplacementChar && cs != "UTF-8" && cs != "GB18030" {
			t.Fatalf("%s: %q is read as %q", cs, b, name)
		}
	}
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cs := rapid.SampledFrom(listing.Charsets()).Draw(t, "charset")
		b := rapid.SliceOfN(rapid.Byte(), 0, 64).Draw(t, "bytes")
		checkRoundTrip(t, b, cs)
		// text in one charset read in another
		text := rapid.StringOfN(rapid.RuneFrom([]rune("aé日本テスト한글Жя\uEF85")), 0, 16, -1).Draw(t, "text")
		if b, err := listing.Encode(text, rapid.SampledFrom(listing.Charsets()).Draw(t, "writer")); err == nil {
			checkRoundTrip(t, b, cs)
		}
	})
}

// TestEscapesAreStable: normalization must leave the escapes alone, also beside combining characters.
func TestEscapesAreStable(t *testing.T) {
	for i := range 256 {
		s := "e" + string(rune(listing.Escape+i)) + "a\u0301"
		if got := norm.NFC.String(s); got != "e"+string(rune(listing.Escape+i))+"\u00e1" {
			t.Errorf("%q becomes %q", s, got)
		}
	}
}

func TestDetectorConcurrent(t *testing.T) {
	d := listing.NewDetector()
	names := mustEncode(t, "Shift_JIS", "テスト.txt")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				d.Observe(names...)
				d.Charset()
			}
		})
	}
	wg.Wait()
	if name, _ := d.Charset(); name != "Shift_JIS" {
		t.Error(name)
	}
}

// TestJIS: ISO-2022-JP says by itself what it is, and any order of its escape sequences leads back to its bytes.
func TestJIS(t *testing.T) {
	raw := []byte("\x1b$B?7$7$$\x1b(B folder (\x1b$B;qNA\x1b(B).txt")
	for _, cs := range []string{"", "KOI8-R", "Shift_JIS"} {
		r, err := listing.Parse(append([]byte("-rw-r--r-- 1 ftp ftp 1 Feb 25  2009 "), raw...), listing.Options{Charset: cs})
		if err != nil || r.Entries[0].Name != "新しい folder (資料).txt" || r.Entries[0].Charset() != "ISO-2022-JP" {
			t.Errorf("%q: %+v %v", cs, r.Entries, err)
		}
	}
	d := listing.NewDetector()
	d.Observe(raw, []byte("README"), []byte("a\x1b[1mb"))
	if cs, confidence := d.Charset(); cs != "ISO-2022-JP" || confidence < 0.5 {
		t.Errorf("%s %v", cs, confidence)
	}
	for name, want := range map[string]string{
		"日本語ｶﾅ.txt":                                 "\x1b$BF|K\\8l\x1b(I6E\x1b(B.txt", // one switch from kanji to kana
		"\uEF1B\uEF24\uEF42日本\uEF1B\uEF28\uEF4Aa\\": "\x1b$BF|K\\\x1b(Ja\\",
	} {
		b, err := listing.Encode(name, "ISO-2022-JP")
		if err != nil || string(b) != want || listing.Decode(b, "ISO-2022-JP") != name {
			t.Errorf("%q becomes %q, which is %q: %v", name, b, listing.Decode(b, "ISO-2022-JP"), err)
		}
	}
	if _, err := listing.Encode("한", "ISO-2022-JP"); !errors.Is(err, listing.ErrEncode) {
		t.Errorf("missing character: %v", err)
	}
}

func TestJISRoundTrip(t *testing.T) {
	pieces := []string{
		"\x1b$B", "\x1b(B", "\x1b(J", "\x1b(I", "\x1b$@", "\x1b", "$", "B", "(", "\x1b$", "F|K\\", "8l", "6E", "!", " ", "a.txt",
		")!", "\x80", "\xb1", "\x7f", "\r", "\x1b$(D", "\x0e", "~",
	}
	rapid.Check(t, func(t *rapid.T) {
		var b []byte
		for _, p := range rapid.SliceOfN(rapid.SampledFrom(pieces), 0, 16).Draw(t, "pieces") {
			b = append(b, p...)
		}
		checkRoundTrip(t, b, "ISO-2022-JP")
	})
}
