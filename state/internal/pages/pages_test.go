package pages_test

import (
	"errors"
	"iter"
	"slices"
	"testing"

	"gateway/state/internal/pages"
)

var errRead = errors.New("cannot read")

// numbers reads 1 to count in pages of 3; the page behind broken fails. It counts
// the reads.
func numbers(t *testing.T, count, broken int, reads *int) iter.Seq2[int, error] {
	t.Helper()
	return pages.Each(3, func(last int, first bool) ([]int, error) {
		*reads++
		if first != (*reads == 1) || first && last != 0 {
			t.Errorf("read %d: last is %d, first is %v", *reads, last, first)
		}
		if last == broken {
			return nil, errRead
		}
		var page []int
		for n := last + 1; n <= count && len(page) < 3; n++ {
			page = append(page, n)
		}
		return page, nil
	})
}

func collect(seq iter.Seq2[int, error], most int) (got []int, err error) {
	for n, failed := range seq {
		if failed != nil {
			err = errors.Join(err, failed)
			continue
		}
		if got = append(got, n); len(got) == most {
			break
		}
	}
	return got, err
}

func TestEach(t *testing.T) {
	const never = -1
	for _, test := range []struct {
		name          string
		count, broken int
		most          int
		want          []int
		reads         int
		err           error
	}{
		{"none", 0, never, 99, nil, 1, nil},
		{"part of a page", 2, never, 99, []int{1, 2}, 1, nil},
		{"a whole page", 3, never, 99, []int{1, 2, 3}, 2, nil},
		{"several", 7, never, 99, []int{1, 2, 3, 4, 5, 6, 7}, 3, nil},
		{"left early", 7, never, 4, []int{1, 2, 3, 4}, 2, nil},
		{"left at the end of a page", 7, never, 3, []int{1, 2, 3}, 1, nil},
		{"the first fails", 7, 0, 99, nil, 1, errRead},
		{"a later one fails", 7, 3, 99, []int{1, 2, 3}, 2, errRead},
	} {
		t.Run(test.name, func(t *testing.T) {
			reads := 0
			got, err := collect(numbers(t, test.count, test.broken, &reads), test.most)
			if !slices.Equal(got, test.want) || reads != test.reads || !errors.Is(err, test.err) {
				t.Errorf("%v after %d reads, %v; want %v after %d, %v", got, reads, err, test.want, test.reads, test.err)
			}
		})
	}
}

func TestWhile(t *testing.T) {
	for _, test := range []struct {
		name         string
		below        int
		broken, most int
		want         []int
		reads        int
		err          error
	}{
		{"the first is not within", 1, -1, 99, nil, 1, nil},
		{"ends within a page", 3, -1, 99, []int{1, 2}, 1, nil},
		{"ends on a later page", 6, -1, 99, []int{1, 2, 3, 4, 5}, 2, nil},
		{"all", 99, -1, 99, []int{1, 2, 3, 4, 5, 6, 7}, 3, nil},
		{"left early", 99, -1, 2, []int{1, 2}, 1, nil},
		{"an error, whose record is none", 0, 0, 99, nil, 1, errRead},
	} {
		t.Run(test.name, func(t *testing.T) {
			reads := 0
			seq := pages.While(numbers(t, 7, test.broken, &reads), func(n int) bool { return n < test.below })
			got, err := collect(seq, test.most)
			if !slices.Equal(got, test.want) || reads != test.reads || !errors.Is(err, test.err) {
				t.Errorf("%v after %d reads, %v; want %v after %d, %v", got, reads, err, test.want, test.reads, test.err)
			}
		})
	}
}
