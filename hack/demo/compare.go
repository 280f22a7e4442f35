package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
)

// expectation is what a comparison must find of the person; what it does not name must be gone.
type expectation struct {
	anonymized map[string]bool
	kept       map[string]int
	files      int
	// unchanged demands that nothing at all has changed.
	unchanged bool
}

func parseExpectation(anonymized, kept string, files int) (expectation, error) {
	want := expectation{anonymized: map[string]bool{}, kept: map[string]int{}, files: files}
	for table := range strings.SplitSeq(anonymized, ",") {
		want.anonymized[table] = table != ""
	}
	if kept == "all" {
		want.unchanged = true
		return want, nil
	}
	for item := range strings.SplitSeq(kept, ",") {
		if item == "" {
			continue
		}
		table, rows, _ := strings.Cut(item, "=")
		number, err := strconv.Atoi(rows)
		if err != nil {
			return want, fmt.Errorf("--kept: %q is not table=rows", item)
		}
		want.kept[table] = number
	}
	return want, nil
}

// difference is one part before and after.
type difference struct {
	before, gone, changed, same, added int
}

func compareParts(before, after part) difference {
	d := difference{before: len(before.Theirs)}
	for key, digest := range before.Theirs {
		switch now, there := after.Theirs[key]; {
		case !there:
			d.gone++
		case now == digest:
			d.same++
		default:
			d.changed++
		}
	}
	d.added = len(after.Theirs) - d.same - d.changed
	return d
}

// judge tells what is not as wanted, empty if all is.
func (w expectation) judge(name string, d difference, telling int) string {
	switch {
	case d.added > 0:
		return fmt.Sprintf("%s: %d new", name, d.added)
	case w.unchanged:
		return unless(d.same == d.before, "%s: %d of %d are not as before", name, d.before-d.same, d.before)
	case w.anonymized[name]:
		return unless(d.changed == d.before && telling == 0,
			"%s: %d of %d anonymized, an identity stands in %d", name, d.changed, d.before, telling)
	default:
		return unless(d.same == w.kept[name] && d.changed == 0,
			"%s: %d as before and %d changed, expected %d and 0", name, d.same, d.changed, w.kept[name])
	}
}

func unless(holds bool, format string, args ...any) string {
	if holds {
		return ""
	}
	return fmt.Sprintf(format, args...)
}

// compareWith shows an earlier snapshot beside the present and judges the difference.
func compareWith(ctx context.Context, out io.Writer, s *system, file string, want expectation) error {
	before, err := readSnapshot(file)
	if err != nil {
		return err
	}
	after, err := s.look(ctx, before)
	if err != nil {
		return err
	}
	want.kept[before.Files.Name] = want.files
	misses, err := comparePerson(out, before, after, want)
	if err != nil {
		return err
	}
	misses = append(misses, compareOthers(out, before, after, want)...)
	for _, miss := range misses {
		fmt.Fprintln(out, "MISS", miss)
	}
	if len(misses) > 0 {
		return errUnmet
	}
	return nil
}

// comparePerson judges what the person had, table by table; the table is shown unless nothing was to change.
func comparePerson(out io.Writer, before, after *snapshot, want expectation) ([]string, error) {
	var misses []string
	var rows, files difference
	table := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	if want.unchanged {
		table = tabwriter.NewWriter(io.Discard, 0, 0, 3, ' ', 0)
	}
	fmt.Fprintf(table, "TABLE\tBEFORE\tAFTER\tDELETED\tANONYMIZED\tAS BEFORE\n")
	show := func(total *difference, b, a part) {
		d := compareParts(b, a)
		total.gone, total.changed, total.same = total.gone+d.gone, total.changed+d.changed, total.same+d.same
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%d\t%d\n", b.Name, d.before, len(a.Theirs), d.gone, d.changed, d.same)
		if miss := want.judge(b.Name, d, len(a.Telling)); miss != "" {
			misses = append(misses, miss)
		}
	}
	for _, b := range before.Tables {
		if _, owned := theirs[b.Name]; owned {
			show(&rows, b, after.table(b.Name))
		}
	}
	show(&files, before.Files, after.Files)
	if err := table.Flush(); err != nil {
		return nil, err
	}
	fmt.Fprintf(out, "%s: %d rows deleted, %d anonymized, %d as before; %d files deleted, %d as before\n",
		before.Person.ID, rows.gone, rows.changed, rows.same, files.gone, files.same)
	return misses, nil
}

// compareOthers judges everybody else's data, and the links of others to the person.
func compareOthers(out io.Writer, before, after *snapshot, want expectation) []string {
	var misses []string
	rows, files, digest := before.others()
	rowsNow, filesNow, digestNow := after.others()
	fmt.Fprintf(out, "everybody else before: %d rows, %d files, sha256 %.16s\n", rows, files, digest)
	fmt.Fprintf(out, "everybody else after:  %d rows, %d files, sha256 %.16s\n", rowsNow, filesNow, digestNow)
	if digest != digestNow {
		misses = append(misses, "somebody else's data has changed")
	}
	if before.Links == 0 {
		return misses
	}
	fmt.Fprintf(out, "links of others to this person: %d before, %d after\n", before.Links, after.Links)
	if goes := !want.unchanged && !want.anonymized["applicants"]; goes && after.Links != 0 {
		misses = append(misses, "others still refer to this person")
	}
	return misses
}
