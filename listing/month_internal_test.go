package listing

import (
	"strings"
	"testing"
)

// TestMonthsMeanOne checks that no word means two months, in whatever language and charset its bytes are, but for
// the Croatian ones that the listing decides.
func TestMonthsMeanOne(t *testing.T) {
	croatian := map[string]bool{"lip": true, "srp": true, "lis": true, "listopad": true, "listopada": true}
	found := foreignMonths()
	var charsets []int
	encoders := monthEncoders()
	for i := range encoders {
		charsets = append(charsets, i)
	}
	for _, lang := range monthNames {
		columns := strings.Fields(lang.months)
		if len(columns) != 12 {
			t.Errorf("%s has %d months", lang.code, len(columns))
		}
		for i, names := range columns {
			for _, low := range strings.Split(names, "/") {
				for _, name := range cases(low, lang.code == "tr") {
					spellings := []string{name}
					for _, k := range charsets {
						if b, err := encoders[k].String(name); err == nil {
							spellings = append(spellings, b)
						}
					}
					for _, b := range spellings {
						v := found[b]
						if lang.code == "hr" && croatian[low] {
							if v&croatianMaybe == 0 || int(v&monthNumber) != i+2 {
								t.Errorf("%s %q is month %#x", lang.code, name, v)
							}
						} else if int(v&monthNumber) != i+1 || v&croatianMaybe != 0 && !croatian[low] {
							t.Errorf("%s %q as %q is month %#x, want %d", lang.code, name, b, v, i+1)
						}
					}
				}
			}
		}
	}
}

// TestMonthWords checks that no month is taken for a day of the week or for a part of a number.
func TestMonthWords(t *testing.T) {
	for name := range foreignMonths() {
		if weekday([]byte(name)) || name[0]-'0' <= 9 || len(name) > 32 {
			t.Errorf("%q", name)
		}
		if strings.ContainsAny(name, " \t\r\n") {
			t.Errorf("%q has blanks", name)
		}
	}
}

// TestMonthsInASCII checks that the small map has what the large one has of words in ASCII.
func TestMonthsInASCII(t *testing.T) {
	all, ascii := foreignMonths(), asciiMonths()
	n := 0
	for name, v := range all {
		if plain(name) {
			if n++; ascii[name] != v {
				t.Errorf("%q is %#x, in ASCII %#x", name, v, ascii[name])
			}
		}
	}
	if n != len(ascii) {
		t.Errorf("%d words, in ASCII %d", n, len(ascii))
	}
}
