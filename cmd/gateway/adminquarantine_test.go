package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"gateway/admin"
)

// TestLongReleaseSaysWhatToDo: a file that cannot be read within a request can be released by the command.
func TestLongReleaseSaysWhatToDo(t *testing.T) {
	err := saidLong("abc123", fmt.Errorf("release a: %w", context.DeadlineExceeded))
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "gateway quarantine release abc123") {
		t.Errorf("%v", err)
	}
	for _, other := range []error{nil, admin.ErrConflict, context.Canceled} {
		if got := saidLong("abc123", other); got != other { //nolint:errorlint // it is that very one
			t.Errorf("%v became %v", other, got)
		}
	}
}
