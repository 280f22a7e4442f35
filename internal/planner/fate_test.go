package planner

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// What is said of each record is what the plan does with it.
func TestFatesAreWhatThePlanDoes(t *testing.T) {
	g := mustCompile(t, invoiceMap())
	of := func(now time.Time, holds []Hold) (lines []string) {
		facts := resolveAll(g, invoiceStores(), me, holds, nil, ResolveOptions{})
		for _, f := range g.Fates(facts, holds, now) {
			line := fmt.Sprintf("%s %s %s", f.Entity, strings.TrimPrefix(strings.Join(f.Key, "+"), valuePrefix), f.Action)
			if f.Basis != "" {
				line += fmt.Sprintf(" after %s: %s", f.Until.Format(time.DateOnly), f.Basis)
			}
			if len(f.Holds) > 0 {
				line += " " + strings.Join(f.Holds, ",")
			}
			lines = append(lines, line)
		}
		return lines
	}
	before := buildInput(nil).Now
	if diff := cmp.Diff([]string{
		"ats/applicant 1 Delete after 2030-02-28: needed by ats/invoice: AO 147",
		"ats/application 10 Delete after 2030-02-28: needed by ats/invoice: AO 147",
		"ats/application 11 Delete",
		"ats/invoice 100 Delete after 2030-02-28: AO 147",
		"ats/invoice 101 Delete",
		"ats/invoice 102 Delete",
	}, of(before, nil)); diff != "" {
		t.Error(diff)
	}
	for _, line := range of(time.Date(2030, 2, 28, 10, 0, 1, 0, time.UTC), nil) {
		if !strings.HasSuffix(line, " Delete") {
			t.Error(line)
		}
	}
	held := of(before, []Hold{{UID: "u", Name: "matter-7", WholeSubject: true}})
	if len(held) != 6 || !strings.HasSuffix(held[2], "after 0001-01-01: legal hold matter-7 matter-7") {
		t.Error(held)
	}
}
