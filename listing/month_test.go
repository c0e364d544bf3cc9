package listing_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"gateway/listing"
)

// lsMonths is the abbreviations of the months as ls prints them under the locales of one language; a language has a
// row for each of its spellings in glibc (old and new releases), BSD, Solaris, HP-UX and AIX.
var lsMonths = []struct{ locale, months string }{
	{"C", "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec"},
	{"en_AU", "Jan Feb Mar Apr May June July Aug Sept Oct Nov Dec"},
	{"de_DE", "Jan Feb Mär Apr Mai Jun Jul Aug Sep Okt Nov Dez"},
	{"de_DE, dots", "Jan. Feb. März Apr. Mai Juni Juli Aug. Sept. Okt. Nov. Dez."},
	{"de_DE, old", "Jan Feb Mrz Apr Mai Jun Jul Aug Sep Okt Nov Dez"},
	{"de_AT", "Jän Feb Mär Apr Mai Jun Jul Aug Sep Okt Nov Dez"},
	{"fr_FR", "janv. févr. mars avril mai juin juil. août sept. oct. nov. déc."},
	{"fr_FR, old", "jan fév mar avr mai jun jui aoû sep oct nov déc"},
	{"fr_FR, no accents", "Janv Fevr Mars Avril Mai Juin Juil Aout Sept Oct Nov Dec"},
	{"es_ES", "ene feb mar abr may jun jul ago sep oct nov dic"},
	{"es_ES, dots", "ene. feb. mar. abr. may. jun. jul. ago. sept. oct. nov. dic."},
	{"it_IT", "gen feb mar apr mag giu lug ago set ott nov dic"},
	{"pt_PT", "Jan Fev Mar Abr Mai Jun Jul Ago Set Out Nov Dez"},
	{"pt_BR", "jan fev mar abr mai jun jul ago set out nov dez"},
	{"gl_ES", "Xan Feb Mar Abr Mai Xuñ Xul Ago Set Out Nov Dec"},
	{"ca_ES", "gen. febr. març abr. maig juny jul. ag. set. oct. nov. des."},
	{"nl_NL", "jan feb mrt apr mei jun jul aug sep okt nov dec"},
	{"da_DK", "jan feb mar apr maj jun jul aug sep okt nov dec"},
	{"sv_SE", "jan feb mar apr maj jun jul aug sep okt nov dec"},
	{"nb_NO", "jan feb mars april mai juni juli aug. sep. okt. nov. des."},
	{"is_IS", "jan feb mar apr maí jún júl ágú sep okt nóv des"},
	{"fi_FI", "tammi helmi maalis huhti touko kesä heinä elo syys loka marras joulu"},
	{"pl_PL", "sty lut mar kwi maj cze lip sie wrz paź lis gru"},
	{"pl_PL, genitive", "stycznia lutego marca kwietnia maja czerwca lipca sierpnia września października listopada grudnia"},
	{"cs_CZ", "led úno bře dub kvě čen čec srp zář říj lis pro"},
	{"cs_CZ, genitive", "ledna února března dubna května června července srpna září října listopadu prosince"},
	{"sk_SK", "jan feb mar apr máj jún júl aug sep okt nov dec"},
	{"sl_SI", "jan feb mar apr maj jun jul avg sep okt nov dec"},
	{"hr_HR", "sij vel ožu tra svi lip srp kol ruj lis stu pro"},
	{"hr_HR, genitive", "siječnja veljače ožujka travnja svibnja lipnja srpnja kolovoza rujna listopada studenoga prosinca"},
	{"sr_RS", "јан феб мар апр мај јун јул авг сеп окт нов дец"},
	{"hu_HU", "jan febr márc ápr máj jún júl aug szept okt nov dec"},
	{"hu_HU, old", "jan feb már ápr máj jún júl aug sze okt nov dec"},
	{"ro_RO", "ian feb mar apr mai iun iul aug sep oct noi dec"},
	{"et_EE", "jaan veebr märts apr mai juuni juuli aug sept okt nov dets"},
	{"lv_LV", "jan feb mar apr mai jūn jūl aug sep okt nov dec"},
	{"lt_LT", "saus. vas. kov. bal. geg. birž. liep. rugp. rugs. spal. lapkr. gruod."},
	{"lt_LT, old", "Sau Vas Kov Bal Geg Bir Lie Rgp Rgs Spa Lap Grd"},
	{"tr_TR", "Oca Şub Mar Nis May Haz Tem Ağu Eyl Eki Kas Ara"},
	{"id_ID", "Jan Feb Mar Apr Mei Jun Jul Agu Sep Okt Nov Des"},
	{"ru_RU", "янв фев мар апр май июн июл авг сен окт ноя дек"},
	{"ru_RU, genitive", "января февраля марта апреля мая июня июля августа сентября октября ноября декабря"},
	{"ru_RU, dots", "янв. февр. марта апр. мая июня июля авг. сент. окт. нояб. дек."},
	{"uk_UA", "січ лют бер кві тра чер лип сер вер жов лис гру"},
	{"be_BY", "сту лют сак кра тра чэр ліп жні вер кас ліс сне"},
	{"bg_BG", "яну фев мар апр май юни юли авг сеп окт ное дек"},
	{"mk_MK", "јан фев мар апр мај јун јул авг сеп окт ное дек"},
	{"el_GR", "Ιαν Φεβ Μαρ Απρ Μαΐ Ιουν Ιουλ Αυγ Σεπ Οκτ Νοε Δεκ"},
	{"el_GR, old", "Ιαν Φεβ Μάρ Απρ Μάι Ιούν Ιούλ Αύγ Σεπ Οκτ Νοέ Δεκ"},
	{"zh_CN", "1月 2月 3月 4月 5月 6月 7月 8月 9月 10月 11月 12月"},
	{"zh_CN, words", "一月 二月 三月 四月 五月 六月 七月 八月 九月 十月 十一月 十二月"},
	{"ko_KR", "1월 2월 3월 4월 5월 6월 7월 8월 9월 10월 11월 12월"},
}

// dateForms are the orders in which ls prints month, day, and time or year, as formats of a month and a day.
var dateForms = []struct {
	layout   string
	hasYear  bool
	dayFirst bool // not printed where the month is a number
}{
	{layout: "%s %2d 15:13"}, {layout: "%s %2d  2014", hasYear: true}, {layout: "%s %02d 2014", hasYear: true},
	{layout: "%2[2]d %[1]s 15:13", dayFirst: true}, {layout: "%2[2]d %[1]s  2014", hasYear: true, dayFirst: true},
	{layout: "%[2]d. %[1]s 15:13", dayFirst: true}, {layout: "%[2]d. %[1]s  2014", hasYear: true, dayFirst: true},
	{layout: "%[2]d. %[1]s, 15:13", dayFirst: true}, {layout: "2014 %s %2d", hasYear: true},
	{layout: "2014. %s %d.", hasYear: true}, {layout: "%s %2d 15:13:07 2014", hasYear: true},
}

// TestMonths reads every month of every language, in every order and in every charset that has its letters.
func TestMonths(t *testing.T) {
	charsets := listing.Charsets()
	for _, l := range lsMonths {
		months := strings.Fields(l.months)
		spelled := 0
		for _, cs := range charsets {
			encoded, ok := encodeAll(months, cs)
			if !ok || spelled > 0 && strings.Join(encoded, " ") == l.months { // ASCII
				continue
			}
			spelled++
			checkMonths(t, l.locale+" in "+cs, encoded)
			if u, ok := encodeAll(strings.Fields(strings.ToUpper(l.months)), cs); ok {
				checkMonths(t, l.locale+" in "+cs, u)
			}
		}
		if spelled == 0 {
			t.Errorf("%s is in no charset", l.locale)
		}
	}
}

func encodeAll(words []string, charset string) ([]string, bool) {
	var out []string
	for _, w := range words {
		b, err := listing.Encode(w, charset)
		if err != nil {
			return nil, false
		}
		out = append(out, string(b))
	}
	return out, true
}

// checkMonths reads a listing for each form, with a file for each month.
func checkMonths(t *testing.T, what string, months []string) {
	t.Helper()
	for _, form := range dateForms {
		if form.dayFirst && months[0][0] == '1' {
			continue
		}
		var raw []byte
		for i, m := range months {
			raw = fmt.Appendf(raw, "-rw-r--r-- 1 a b 42 %s f%d\n", fmt.Sprintf(form.layout, m, i+5), i+1)
		}
		r, err := listing.Parse(raw, listing.Options{Now: now})
		if err != nil || len(r.Entries) != 12 {
			t.Errorf("%s as %q: %d entries, %v", what, form.layout, len(r.Entries), err)
			continue
		}
		for i, e := range r.Entries {
			year := 2014
			if !form.hasYear {
				if year = 2024; i >= 5 {
					year = 2023
				}
				if i == 5 { // 10 June is past, 15 June is now
					year = 2024
				}
			}
			at := e.ModTime
			if at.Year() != year || at.Month() != time.Month(i+1) || at.Day() != i+5 || e.Name != fmt.Sprint("f", i+1) {
				t.Errorf("%s as %q: %q is %s, want month %d", what, form.layout, months[i], show(e), i+1)
			}
		}
	}
}
