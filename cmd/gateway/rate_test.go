package main

import "testing"

func TestParseRate(t *testing.T) {
	for in, want := range map[string]int64{
		"": 0, "0": 0, "2000": 2000, "512k": 512 << 10, "512K": 512 << 10, "10M": 10 << 20, "10MB": 10 << 20, "10MiB": 10 << 20,
		"1.5G": 3 << 29, "2T": 2 << 40, " 1M ": 1 << 20,
	} {
		if got, err := parseRate(in); got != want || err != nil {
			t.Errorf("%q: %d, %v", in, got, err)
		}
	}
	for _, in := range []string{"fast", "10X", "-1M", "k", "B", "NaN", "inf", "1e30", "100", "1M/s", "iB"} {
		if got, err := parseRate(in); err == nil {
			t.Errorf("%q: %d", in, got)
		}
	}
}
