package listing

import (
	"bytes"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
)

// monthNames is what ls prints for the months under the locales that servers are found with, in lower case and
// without the final dot. Longer words are met by their abbreviations only where the locale prints those.
var monthNames = [12]string{
	"jan january januar janv janvier ene enero gen gennaio janeiro januari tammi sty led leden ian oca янв січ ιαν",
	"feb february februar févr fév fev février febrero febbraio fevereiro februari helmi lut úno únor febr şub фев лют φεβ",
	"mar march mär mär. mrz märz maer maerz mars marzo março mrt maart maalis bře březen márc mars. мар бер μαρ μάρ",
	"apr april avr avril abr abril aprile huhti kwi dub duben ápr nis апр кві απρ",
	"may mai mayo mag maggio maio mei maj touko kvě květen máj мая май тра μαϊ μάι μαι",
	"jun june juni juin junio giu giugno junho kesä cze čer červen jún iun haz июн чер ιουν ιούν",
	"jul july juli juil juillet julio lug luglio julho heinä lip čec červenec júl iul tem июл лип ιουλ ιούλ",
	"aug august août aoû aout ago agosto augustus augusti elo sie srp srpen ağu авг сер αυγ αύγ",
	"sep sept september septembre septiembre set settembre setembro syys wrz zář září szept eyl сен сент вер σεπ",
	"oct october okt oktober octobre octubre ott ottobre out outubro loka paź říj říjen eki окт жов οκτ",
	"nov november novembre noviembre novembro marras lis listopad noi kas ноя нояб νοε νοέ",
	"dec december dez dezember déc décembre dic diciembre dicembre dezembro des desember joulu gru prosinec ara дек гру δεκ",
}

// monthCharsets are the charsets in which a listing can have month names.
func monthCharsets() []encoding.Encoding {
	return []encoding.Encoding{
		charmap.Windows1252, charmap.ISO8859_2, charmap.Windows1250, charmap.CodePage850, charmap.CodePage852,
		charmap.Windows1251, charmap.KOI8R, charmap.KOI8U, charmap.CodePage866, charmap.ISO8859_5,
		charmap.Windows1253, charmap.ISO8859_7, charmap.Windows1254, charmap.Macintosh,
	}
}

// foreignMonths maps month names, in every charset and in the usual cases, to 1..12. It never changes.
var foreignMonths = sync.OnceValue(makeMonths)

func makeMonths() map[string]int8 {
	m := make(map[string]int8)
	var encoders []*encoding.Encoder
	for _, cs := range monthCharsets() {
		encoders = append(encoders, cs.NewEncoder())
	}
	for i, names := range monthNames {
		for _, low := range strings.Fields(names) {
			r, n := utf8.DecodeRuneInString(low)
			for _, name := range []string{low, string(unicode.ToUpper(r)) + low[n:], strings.ToUpper(low)} {
				m[name] = int8(i + 1)
				if plain(name) {
					continue
				}
				for _, e := range encoders {
					if b, err := e.String(name); err == nil {
						m[b] = int8(i + 1)
					}
				}
			}
		}
	}
	return m
}

// monthMarks is the character "month" that East Asian listings write behind its number: in UTF-8, Shift_JIS,
// EUC-JP, GBK, Big5 and, for Korean, UTF-8 and EUC-KR.
func monthMarks() []string {
	return []string{"月", "\x8c\x8e", "\xb7\xee", "\xd4\xc2", "\xa4\xeb", "월", "\xbf\xf9"}
}

func dayMarks() []string {
	return []string{"日", "\x93\xfa", "\xc6\xfc", "\xc8\xd5", "\xa4\xe9", "일", "\xc0\xcf"}
}

func yearMarks() []string {
	return []string{"年", "\x94\x4e", "\xc7\xaf", "\xc4\xea", "\xa6\x7e", "년", "\xb3\xe2"}
}

// month reads a month name, with or without a final dot or comma; 0 is none.
func month(b []byte) int {
	if len(b) == 3 {
		if m := englishMonth(b); m > 0 {
			return m
		}
	}
	if len(b) < 3 || len(b) > 24 {
		return 0
	}
	if c := b[len(b)-1]; c == '.' || c == ',' {
		b = b[:len(b)-1]
	}
	if len(b) == 3 {
		if m := englishMonth(b); m > 0 {
			return m
		}
	}
	return int(foreignMonths()[string(b)])
}

// englishMonth reads three letters in any case.
func englishMonth(b []byte) int {
	switch uint32(b[0]|0x20)<<16 | uint32(b[1]|0x20)<<8 | uint32(b[2]|0x20) {
	case 'j'<<16 | 'a'<<8 | 'n':
		return 1
	case 'f'<<16 | 'e'<<8 | 'b':
		return 2
	case 'm'<<16 | 'a'<<8 | 'r':
		return 3
	case 'a'<<16 | 'p'<<8 | 'r':
		return 4
	case 'm'<<16 | 'a'<<8 | 'y':
		return 5
	case 'j'<<16 | 'u'<<8 | 'n':
		return 6
	case 'j'<<16 | 'u'<<8 | 'l':
		return 7
	case 'a'<<16 | 'u'<<8 | 'g':
		return 8
	case 's'<<16 | 'e'<<8 | 'p':
		return 9
	case 'o'<<16 | 'c'<<8 | 't':
		return 10
	case 'n'<<16 | 'o'<<8 | 'v':
		return 11
	case 'd'<<16 | 'e'<<8 | 'c':
		return 12
	}
	return 0
}

// marked reads a number followed by one of the marks: 3月.
func marked(b []byte, marks []string) (int, bool) {
	v, n := number(b)
	if n < 1 || n > 4 || n == len(b) {
		return 0, false
	}
	for _, m := range marks {
		if bytes.Equal(b[n:], []byte(m)) {
			return int(v), true
		}
	}
	return 0, false
}
