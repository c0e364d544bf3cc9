package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"gateway/ftpbridge"
)

// parseRate reads a number of bytes a second: "512k", "10M", "1.5G" with units of
// 1024, a "B" or "iB" behind them allowed. "" and "0" are no limit.
func parseRate(s string) (int64, error) {
	number, unit := strings.TrimSpace(s), int64(1)
	number = strings.TrimSuffix(strings.TrimSuffix(number, "B"), "i")
	if n := len(number); n > 0 {
		if i := strings.IndexByte("KMGT", strings.ToUpper(number)[n-1]); i >= 0 {
			number, unit = number[:n-1], 1<<(10*(i+1))
		}
	}
	if number == "" && strings.TrimSpace(s) == "" {
		return 0, nil
	}
	v, err := strconv.ParseFloat(number, 64)
	switch v *= float64(unit); {
	case err != nil || math.IsNaN(v) || v < 0 || v >= math.MaxInt64:
		return 0, fmt.Errorf("%q is no rate; write for example 512k or 10M (bytes a second)", s)
	case v != 0 && v < ftpbridge.MinBytesPerSecond:
		return 0, fmt.Errorf("%q is %g bytes a second; the least is %d", s, v, ftpbridge.MinBytesPerSecond)
	}
	return int64(v), nil
}
