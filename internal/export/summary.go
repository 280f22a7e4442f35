package export

import (
	"cmp"
	"slices"
	"time"
)

// maxDays that are counted one by one: a century.
const maxDays = 36525

// Summary counts records.
type Summary struct {
	Records int64
	// ByStatus in the words of the log; of logs without statuses by kind of entry.
	ByStatus map[string]int64
	// Days with records, oldest first.
	days map[time.Time]int64
}

// Day with the records of a day.
type Day struct {
	Date    time.Time
	Records int64
}

func newSummary() *Summary {
	return &Summary{ByStatus: map[string]int64{}, days: map[time.Time]int64{}}
}

func (s *Summary) add(r *Record) {
	s.Records++
	word, when := r.status(), r.Entry.Time
	if r.Deletion != nil {
		when = r.Deletion.ReceivedAt
	}
	if word == "" {
		word = r.Entry.Kind
	}
	s.ByStatus[word]++
	day := when.UTC().Truncate(24 * time.Hour)
	if _, has := s.days[day]; has || len(s.days) < maxDays {
		s.days[day]++
	}
}

// Days with records, oldest first.
func (s *Summary) Days() []Day {
	out := make([]Day, 0, len(s.days))
	for date, n := range s.days {
		out = append(out, Day{date, n})
	}
	slices.SortFunc(out, func(a, b Day) int { return cmp.Compare(a.Date.Unix(), b.Date.Unix()) })
	return out
}
