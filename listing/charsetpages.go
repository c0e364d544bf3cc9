package listing

import (
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/transform"
)

// Code pages that golang.org/x/text lacks.
// Source: the tables of the Unicode Consortium, MAPPINGS/VENDORS/MICSFT/PC.
var (
	// cp737 is Greek DOS.
	cp737 = newPage("ΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡΣΤΥΦΧΨΩαβγδεζηθ" +
		"ικλμνξοπρσςτυφχψ░▒▓│┤╡╢╖╕╣║╗╝╜╛┐" +
		"└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀" +
		"ωάέήϊίόύϋώΆΈΉΊΌΎΏ±≥≤ΪΫ÷≈°∙·√ⁿ²■\u00A0")
	// cp775 is Baltic DOS.
	cp775 = newPage("ĆüéāäģåćłēŖŗīŹÄÅÉæÆōöĢ¢ŚśÖÜø£Ø×¤" +
		"ĀĪóŻżź”¦©®¬½¼Ł«»░▒▓│┤ĄČĘĖ╣║╗╝ĮŠ┐" +
		"└┴┬├─┼ŲŪ╚╔╩╦╠═╬Žąčęėįšųūž┘┌█▄▌▐▀" +
		"ÓßŌŃõÕµńĶķĻļņĒŅ’\u00AD±“¾¶§÷„°∙·¹³²■\u00A0")
	// cp857 is Turkish DOS. Three bytes are no character.
	cp857 = newPage("ÇüéâäàåçêëèïîıÄÅÉæÆôöòûùİÖÜø£ØŞş" +
		"áíóúñÑĞğ¿®¬½¼¡«»░▒▓│┤ÁÂÀ©╣║╗╝¢¥┐" +
		"└┴┬├─┼ãÃ╚╔╩╦╠═╬¤ºªÊËÈ\uFFFDÍÎÏ┘┌█▄¦Ì▀" +
		"ÓßÔÒõÕµ\uFFFD×ÚÛÙìÿ¯´\u00AD±\uFFFD¾¶§÷¸°¨·¹³²■\u00A0")
)

// page is the upper half of a code page; U+FFFD stands for bytes that are no character.
type page [128]rune

func newPage(upper string) *page {
	var p page
	i := 0
	for _, r := range upper {
		p[i] = r
		i++
	}
	return &p
}

func (p *page) DecodeByte(b byte) rune {
	if b < utf8.RuneSelf {
		return rune(b)
	}
	return p[b-utf8.RuneSelf]
}

func (p *page) EncodeRune(r rune) (b byte, ok bool) {
	if r < utf8.RuneSelf || r == utf8.RuneError {
		return byte(r), r < utf8.RuneSelf
	}
	for i, x := range p {
		if x == r {
			return byte(i + utf8.RuneSelf), true
		}
	}
	return 0, false
}

// NewDecoder and NewEncoder make page an encoding.Encoding.

func (p *page) NewDecoder() *encoding.Decoder {
	return &encoding.Decoder{Transformer: pageReader{page: p}}
}

func (p *page) NewEncoder() *encoding.Encoder {
	return &encoding.Encoder{Transformer: pageWriter{page: p}}
}

type pageReader struct {
	transform.NopResetter
	page *page
}

func (t pageReader) Transform(dst, src []byte, _ bool) (nDst, nSrc int, err error) {
	for ; nSrc < len(src); nSrc++ {
		r := t.page.DecodeByte(src[nSrc])
		if nDst+utf8.RuneLen(r) > len(dst) {
			return nDst, nSrc, transform.ErrShortDst
		}
		nDst += utf8.EncodeRune(dst[nDst:], r)
	}
	return nDst, nSrc, nil
}

type pageWriter struct {
	transform.NopResetter
	page *page
}

func (t pageWriter) Transform(dst, src []byte, atEOF bool) (nDst, nSrc int, err error) {
	for nSrc < len(src) {
		if !atEOF && !utf8.FullRune(src[nSrc:]) {
			return nDst, nSrc, transform.ErrShortSrc
		}
		r, size := utf8.DecodeRune(src[nSrc:])
		b, ok := t.page.EncodeRune(r)
		switch {
		case !ok:
			return nDst, nSrc, ErrEncode
		case nDst == len(dst):
			return nDst, nSrc, transform.ErrShortDst
		}
		dst[nDst] = b
		nDst, nSrc = nDst+1, nSrc+size
	}
	return nDst, nSrc, nil
}
