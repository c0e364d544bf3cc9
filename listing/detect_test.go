package listing_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"

	"gateway/listing"
)

// The languages of testdata/names by their codes.
var languageFiles = map[string]string{
	"de": "german", "fr": "french", "es": "spanish", "pt": "portuguese", "it": "italian", "da": "danish",
	"no": "norwegian", "sv": "swedish", "fi": "finnish", "nl": "dutch", "is": "icelandic", "en": "english",
	"pl": "polish", "cs": "czech", "sk": "slovak", "hu": "hungarian", "hr": "croatian", "sl": "slovenian",
	"ro": "romanian", "ru": "russian", "uk": "ukrainian", "bg": "bulgarian", "el": "greek", "tr": "turkish",
	"lt": "lithuanian", "lv": "latvian", "et": "estonian", "he": "hebrew", "ar": "arabic", "th": "thai",
	"ja": "japanese", "zh": "chinese-simplified", "tw": "chinese-traditional", "ko": "korean",
	"mac": "macintosh", "dos": "dos",
}

// spellings says which languages each charset is met with.
var spellings = []struct{ charset, languages string }{
	{"UTF-8", "de fr cs pl ru el tr he ar th ja zh ko mac"},
	{"ISO-8859-1", "de fr es pt it da no sv fi nl is"},
	{"ISO-8859-15", "de fr es pt it da no sv fi nl is"},
	{"windows-1252", "de fr es pt it da no sv fi nl is en"},
	{"CP437", "de fr es it sv fi dos"},
	{"CP850", "de fr es pt it da no sv fi nl is dos"},
	{"macintosh", "de fr es pt it da no sv fi nl en mac"},
	{"ISO-8859-2", "pl cs sk hu hr sl ro"},
	{"windows-1250", "pl cs sk hu hr sl ro"},
	{"CP852", "pl cs sk hu hr sl ro"},
	{"ISO-8859-9", "tr"}, {"windows-1254", "tr"}, {"CP857", "tr"},
	{"ISO-8859-5", "ru uk bg"}, {"windows-1251", "ru uk bg"}, {"KOI8-R", "ru bg"}, {"KOI8-U", "ru uk"},
	{"CP866", "ru bg"}, {"x-mac-cyrillic", "ru uk bg"},
	{"ISO-8859-7", "el"}, {"windows-1253", "el"}, {"CP737", "el"},
	{"ISO-8859-4", "lt lv et"}, {"ISO-8859-13", "lt lv et"}, {"windows-1257", "lt lv et"}, {"CP775", "lt lv et"},
	{"windows-1255", "he"}, {"windows-1256", "ar"}, {"windows-874", "th"},
	{"Shift_JIS", "ja"}, {"EUC-JP", "ja"}, {"ISO-2022-JP", "ja"},
	{"GBK", "zh"}, {"GB18030", "zh"}, {"Big5", "tw"}, {"EUC-KR", "ko"},
}

// readNames reads the names of a language, as far as the charset has their characters.
func readNames(t testing.TB, language, charset string) []string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", "names", languageFiles[language]+".txt"))
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, name := range strings.Split(strings.TrimSuffix(string(raw), "\n"), "\n") {
		if _, err := listing.Encode(name, charset); err == nil {
			out = append(out, name)
		}
	}
	return out
}

func foreign(s string) bool { return strings.ContainsFunc(s, func(r rune) bool { return r >= 0x80 }) }

// draw takes n names, of which one at least is not ASCII.
func draw(rng *rand.Rand, names []string, n int) []string {
	out := make([]string, 0, n)
	for _, i := range rng.Perm(len(names))[:min(n, len(names))] {
		out = append(out, names[i])
	}
	if !slices.ContainsFunc(out, foreign) {
		return draw(rng, names, n)
	}
	return out
}

// detect reads names as a server with that charset sends them, and reports whether all come out as they were.
func detect(t *testing.T, charset string, names []string) (found string, confidence float64, right bool) {
	t.Helper()
	d := listing.NewDetector()
	raw := mustEncode(t, charset, names...)
	d.Observe(raw...)
	found, confidence = d.Charset()
	for i, b := range raw {
		if listing.Decode(b, found) != names[i] {
			return found, confidence, false
		}
	}
	return found, confidence, true
}

// The listings drawn: of how many names, how many for a charset (a tenth at least for each of its languages), and
// what share of them must be read right.
var drawn = []struct {
	names, listings int
	floor           float64
}{{3, 400, 0}, {10, 200, 95}, {50, 60, 99}}

// score counts listings by what became of them, with the sum of the confidence in them.
type score struct {
	n          [2]int // wrong, right
	confidence [2]float64
}

func (s *score) add(right bool, confidence float64) {
	i := 0
	if right {
		i = 1
	}
	s.n[i]++
	s.confidence[i] += confidence
}

// percent that is right.
func (s *score) percent() float64 { return 100 * float64(s.n[1]) / float64(max(1, s.n[0]+s.n[1])) }

func (s *score) mean(i int) string {
	if s.n[i] == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", s.confidence[i]/float64(s.n[i]))
}

// bands of confidence, by their upper ends.
var bands = []float64{0.2, 0.4, 0.6, 0.8, 0.95, 1}

// TestCharsetTable draws listings in every charset and language, and prints how many of them are read right.
func TestCharsetTable(t *testing.T) {
	var table strings.Builder
	fmt.Fprintf(&table, "Listings read right, by charset and number of names, and the mean confidence\n\n%-15s %6s %6s %6s  %7s %7s  %s\n",
		"charset", "3", "10", "50", "(right)", "(wrong)", "languages")
	calibration := make([]score, len(bands))
	for _, s := range spellings {
		var all score
		fmt.Fprintf(&table, "%-15s", s.charset)
		languages := strings.Fields(s.languages)
		for _, size := range drawn {
			var one score
			for _, l := range languages {
				names := readNames(t, l, s.charset)
				rng := rand.New(rand.NewPCG(uint64(size.names), uint64(len(names))))
				for range max(size.listings/10, size.listings/len(languages)) {
					pick := draw(rng, names, size.names)
					found, confidence, right := detect(t, s.charset, pick)
					one.add(right, confidence)
					all.add(right, confidence)
					if size.names == 3 {
						band := slices.IndexFunc(bands, func(top float64) bool { return confidence <= top })
						calibration[band].add(right, confidence)
					}
					if (s.charset == "UTF-8") != (found == "UTF-8") {
						t.Errorf("%s taken for %s: %q", s.charset, found, pick)
					}
				}
			}
			fmt.Fprintf(&table, " %6.1f", one.percent())
			if one.percent() < size.floor {
				t.Errorf("%s: %.1f %% of the listings of %d names", s.charset, one.percent(), size.names)
			}
		}
		fmt.Fprintf(&table, "  %7s %7s  %s\n", all.mean(1), all.mean(0), s.languages)
	}
	checkCalibration(t, &table, calibration)
	if testing.Verbose() {
		fmt.Println(table.String())
	}
}

// checkCalibration checks that confidence means something: who is sure must be right.
func checkCalibration(t *testing.T, table *strings.Builder, calibration []score) {
	fmt.Fprintf(table, "\nListings of 3 names by confidence\n\n%-15s %8s %8s\n", "confidence", "listings", "right")
	low := 0.0
	var sure score
	for i, s := range calibration {
		fmt.Fprintf(table, "%.2f to %.2f    %8d %8.1f\n", low, bands[i], s.n[0]+s.n[1], s.percent())
		if low >= 0.8 {
			sure.n[0] += s.n[0]
			sure.n[1] += s.n[1]
		}
		low = bands[i]
	}
	if sure.percent() < 97 {
		t.Errorf("of the listings with confidence over 0.8 only %.1f %% are read right", sure.percent())
	}
}

// TestShortUTF8: a letter is enough for UTF-8, in any alphabet.
func TestShortUTF8(t *testing.T) {
	for r := rune(0x80); r < 0x3100; r++ {
		if !unicode.IsLetter(r) {
			continue
		}
		for _, name := range []string{string(r), string(r) + ".txt", "A" + string(r) + "B"} {
			if found, _, _ := detect(t, "UTF-8", []string{name}); found != "UTF-8" {
				t.Errorf("%q is taken for %s", name, found)
			}
		}
	}
}

// TestAccidentalUTF8: two Chinese characters happen to be valid UTF-8; their neighbours tell. What really is UTF-8
// remains so.
func TestAccidentalUTF8(t *testing.T) {
	names := []string{"通知.doc", "新建文件夹", "采购合同.xls"}
	if got := parseNames(t, nil, mustEncode(t, "GBK", names...)...); !slices.Equal(got, names) {
		t.Errorf("GBK: %q", got)
	}
	latin := mustEncode(t, "windows-1252", "Größe.txt", "übrig", "Öl")
	latin = append(latin, []byte("Straße"), []byte("ä"))
	if got := parseNames(t, nil, latin...); !slices.Equal(got, []string{"Größe.txt", "übrig", "Öl", "Straße", "ä"}) {
		t.Errorf("windows-1252 and UTF-8: %q", got)
	}
	utf := mustEncode(t, "UTF-8", "Größe.txt", "übrig", "Öl", "схема")
	utf = append(utf, mustEncode(t, "windows-1252", "Straße")...)
	if got := parseNames(t, nil, utf...); !slices.Equal(got, []string{"Größe.txt", "übrig", "Öl", "схема", "Straße"}) {
		t.Errorf("UTF-8 and windows-1252: %q", got)
	}
}

// TestServerHistory: where a listing could be anything, the other listings of the server decide.
func TestServerHistory(t *testing.T) {
	for _, c := range []struct{ charset, language, lone string }{
		{"KOI8-R", "ru", "Эх"}, {"CP866", "ru", "ЦУ"}, {"windows-1251", "ru", "ёж"}, {"CP850", "de", "Ö"},
		{"macintosh", "fr", "où"}, {"CP852", "pl", "ż"}, {"EUC-JP", "ja", "麗"}, {"Big5", "tw", "鬱"}, {"EUC-KR", "ko", "뷁"},
		{"windows-1253", "el", "Ω"}, {"windows-1254", "tr", "ış"},
	} {
		d := listing.NewDetector()
		d.Observe(mustEncode(t, c.charset, readNames(t, c.language, c.charset)[:12]...)...)
		if got := parseNames(t, d, mustEncode(t, c.charset, c.lone)...); got[0] != c.lone {
			t.Errorf("%s: %q, want %q", c.charset, got[0], c.lone)
		}
	}
}

// TestTraps: bytes that a parser may take for something else.
func TestTraps(t *testing.T) {
	for _, c := range []struct {
		charset string
		names   []string
	}{
		{"Shift_JIS", []string{"表示.txt", "ソフト", "十能.doc", "ー覧…続き", "申請書"}},        // second bytes 0x5C and 0x85
		{"CP437", []string{"╔════════╗", "║ Bücher ║", "╚════════╝", "KÄSE.TXT"}}, // frames of DOS
		{"CP866", []string{"──────────", "░▒▓ Игры ▓▒░", "Отчет.doc"}},
		{"windows-1252", []string{"a\u00A0b – c…", "Größe", "1½ Äpfel"}},
		{"Big5", []string{"許功蓋.txt", "新增資料夾"}}, // second bytes 0x5C
	} {
		if got := parseNames(t, nil, mustEncode(t, c.charset, c.names...)...); !slices.Equal(got, c.names) {
			t.Errorf("%s: %q, want %q", c.charset, got, c.names)
		}
	}
}

// TestNoise: of bytes without a meaning nothing is known, and that is said.
func TestNoise(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 100 {
		d := listing.NewDetector()
		for range 5 {
			b := make([]byte, 8)
			for i := range b {
				b[i] = byte(rng.IntN(256))
			}
			d.Observe(b)
		}
		if name, confidence := d.Charset(); confidence > 0.5 {
			t.Errorf("%s %.2f", name, confidence)
		}
	}
	d := listing.NewDetector()
	d.Observe(make([]byte, 1<<20), []byte(strings.Repeat("\xff", 1<<20)))
	if name, confidence := d.Charset(); confidence > 0.5 {
		t.Errorf("%s %.2f", name, confidence)
	}
}
