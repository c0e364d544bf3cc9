// Package pages turns reads of a bounded number of records into one sequence of
// all of them, for stores whose callers may take long over each record: between
// two pages nothing is held open.
package pages

import "iter"

// Each yields what read returns, page after page, until one has fewer than size
// records or an error, which is yielded as the last. first is true for the first
// page; else last is the record that the next page begins behind.
func Each[T any](size int, read func(last T, first bool) ([]T, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var last, zero T
		for first := true; ; first = false {
			page, err := read(last, first)
			if err != nil {
				yield(zero, err)
				return
			}
			for _, v := range page {
				if !yield(v, nil) {
					return
				}
			}
			if len(page) < size || len(page) == 0 {
				return
			}
			last = page[len(page)-1]
		}
	}
}

// While yields what seq does, up to the first record that is not within. Errors are
// passed on.
func While[T any](seq iter.Seq2[T, error], within func(T) bool) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for v, err := range seq {
			if err == nil && !within(v) || !yield(v, err) {
				return
			}
		}
	}
}
