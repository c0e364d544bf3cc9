package main

import (
	"strings"

	qr "github.com/piglig/go-qr"
)

const (
	quietZone   = 4  // modules around a QR code (ISO/IEC 18004)
	screenWidth = 80 // columns
)

// qrLines draws a QR code in half blocks, light on dark as on most terminals; "" if it is wider than a screen.
// With colour it is drawn so on every terminal.
func qrLines(text string, colour bool) string {
	code, err := qr.EncodeText(text, qr.Low)
	if err != nil || code.Size()+2*quietZone > screenWidth {
		return ""
	}
	light := func(x, y int) bool { return !code.Module(x, y) } // outside of the code all is light
	var b strings.Builder
	for y := -quietZone; y < code.Size()+quietZone; y += 2 {
		if colour {
			b.WriteString("\x1b[97;40m")
		}
		for x := -quietZone; x < code.Size()+quietZone; x++ {
			upper, lower := light(x, y), light(x, y+1) && y+1 < code.Size()+quietZone
			switch {
			case upper && lower:
				b.WriteRune('█')
			case upper:
				b.WriteRune('▀')
			case lower:
				b.WriteRune('▄')
			default:
				b.WriteByte(' ')
			}
		}
		if colour {
			b.WriteString("\x1b[0m")
		}
		b.WriteByte('\n')
	}
	return b.String()
}
