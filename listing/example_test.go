package listing_test

import (
	"fmt"
	"time"

	"gateway/listing"
)

func ExampleParse() {
	raw := []byte("total 8\r\n" +
		"drwxr-xr-x   2 ftp   ftp    4096 Mar  2  2011 pub\r\n" +
		"-rw-r--r--   1 ftp   ftp     531 Jun  1 09:30 caf\xe9.txt\r\n")
	r, err := listing.Parse(raw, listing.Options{Now: time.Date(2024, 6, 15, 0, 0, 0, 0, time.UTC)})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, e := range r.Entries {
		fmt.Printf("%s %s %q %d %s (%s)\n", e.Type, e.Name, e.RawName, e.Size, e.ModTime.Format(time.DateTime), e.ModTime.Precision)
	}
	// Output:
	// dir pub "pub" -1 2011-03-02 00:00:00 (day)
	// file café.txt "caf\xe9.txt" 531 2024-06-01 09:30:00 (minute)
}

func ExampleDecode() {
	raw := []byte("R\xe9sum\xe9\x01")
	name := listing.Decode(raw, "windows-1252")
	back, _ := listing.Encode(name, "windows-1252")
	fmt.Printf("%+q %q\n", name, back)
	// Output: "R\u00e9sum\u00e9\uef01" "R\xe9sum\xe9\x01"
}
