package mapgen

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/lethe-dev/lethe/internal/backend"
	"github.com/lethe-dev/lethe/internal/planner"
)

// actors are words of columns that name somebody who did something.
var actors = words(`by author creator editor reviewer approver evaluator assessor manager recruiter referrer assignee assigned owner
	sender responsible interviewer supervisor handler agent operator verfasser ersteller bearbeiter betreuer vorgesetzter pruefer
	sachbearbeiter`)

func actor(column string) bool {
	return slices.ContainsFunc(planner.Tokens(column), func(t string) bool { return actors[t] })
}

// tenants are words of columns that tell companies apart which share the tables.
var tenants = words(`tenant mandant mandator workspace organization organisation company client account realm site`)

// categories by words of a table's name, the first that fits.
var categories = []struct {
	words    map[string]bool
	category string
}{
	{words(`consent consents einwilligung einwilligungen gdpr dsgvo`), "consent"},
	{words(`transcript transcripts mitschrift`), "transcripts"},
	{words(`recording recordings interview interviews call calls aufnahme aufnahmen`), "recordings"},
	{words(`resume resumes cv cvs lebenslauf lebenslaeufe`), "resume"},
	{words(`note notes comment comments remark remarks notiz notizen kommentar kommentare bemerkung`), "notes"},
	{words(`message messages mail mails email emails conversation conversations chat chats sms notification notifications letter
		letters nachricht nachrichten clarification`), "communication"},
	{words(`document documents file files attachment attachments upload uploads certificate certificates dokument dokumente datei
		dateien anhang anlagen contract contracts invoice invoices`), "documents"},
	{words(`score scores evaluation evaluations assessment assessments rating ratings match matches review reviews bewertung
		bewertungen`), "scores"},
	{words(`address addresses contact contacts phone phones adresse adressen kontakt kontakte`), "contact"},
}

func category(t *table, root bool) string {
	for _, c := range categories {
		if slices.ContainsFunc(planner.Tokens(t.Table.Name), func(w string) bool { return c.words[w] }) {
			return c.category
		}
	}
	if root {
		return "contact"
	}
	return "profile"
}

var (
	timeType  = regexp.MustCompile(`(?i)^(date|datetime|timestamp|timestamptz)`)
	clockName = regexp.MustCompile(`(?i)(_at|_on|_date|_time|datum|_am)$`)
	stateName = words(`status state stage phase zustand`)
	fileName  = regexp.MustCompile(`(?i)(file_?name|file_?path|storage|object_?key|s3_?key|blob|bucket|datei|document_?path|_dir$|_path$|_url$)`)
	textual   = regexp.MustCompile(`(?i)char|text|clob|string|^$`)
)

// clocks are columns from which a period could count: the end of something first, its beginning last.
func clocks(t *table) []string {
	rank := func(name string) int {
		for i, word := range []string{"end", "clos", "archiv", "finish", "complet", "last", "updat", "modif", "chang"} {
			if strings.Contains(strings.ToLower(name), word) {
				return i
			}
		}
		return 100
	}
	var list []string
	for _, c := range t.Columns {
		if planner.Personal(c.Name, c.Type) != planner.KindBirth && (timeType.MatchString(c.Type) || clockName.MatchString(c.Name)) {
			list = append(list, c.Name)
		}
	}
	slices.SortStableFunc(list, func(a, b string) int { return rank(a) - rank(b) })
	return list
}

// columnsOf are the columns of a kind that could hold an identity.
func columnsOf(t *table, kind planner.Kind) []backend.ColumnInfo {
	var list []backend.ColumnInfo
	for _, c := range t.Columns {
		if planner.Personal(c.Name, c.Type) == kind && textual.MatchString(c.Type) {
			list = append(list, c)
		}
	}
	return list
}

// personal are the columns that seem to hold personal data, with strong ones alone or with all.
func personal(t *table, all bool) []string {
	var list []string
	for _, c := range t.Columns {
		switch kind := planner.Personal(c.Name, c.Type); kind {
		case "", planner.KindDocument:
		case planner.KindName, planner.KindText, planner.KindMedia:
			if all {
				list = append(list, c.Name)
			}
		default:
			list = append(list, c.Name)
		}
	}
	return list
}

// polymorphic are pairs of columns that refer to different tables, of the form x_type and x_id, without a foreign key.
func polymorphic(t *table) [][2]string {
	var pairs [][2]string
	for _, c := range t.Columns {
		base, ok := cutSuffix(c.Name, "_type", "Type")
		if !ok || base == "" {
			continue
		}
		for _, id := range t.Columns {
			if idBase, ok := cutSuffix(id.Name, "_id", "Id", "ID"); ok && idBase == base && !slices.ContainsFunc(t.ForeignKeys, func(fk backend.ForeignKey) bool {
				return slices.Contains(fk.Columns, id.Name)
			}) {
				pairs = append(pairs, [2]string{c.Name, id.Name})
			}
		}
	}
	return pairs
}

func cutSuffix(s string, suffixes ...string) (string, bool) {
	for _, suffix := range suffixes {
		if base, ok := strings.CutSuffix(s, suffix); ok {
			return base, true
		}
	}
	return "", false
}

var notInName = regexp.MustCompile(`[^a-z0-9]+`)

// entityName makes a name that the API takes, and that no other table has.
func entityName(table string, used map[string]bool) string {
	name := strings.Trim(notInName.ReplaceAllString(strings.ToLower(table), "-"), "-")
	if name == "" {
		name = "table"
	}
	name = strings.Trim(name[:min(len(name), 58)], "-")
	for n, base := 2, name; used[name]; n++ {
		name = fmt.Sprintf("%s-%d", base, n)
	}
	used[name] = true
	return name
}

func words(list string) map[string]bool {
	out := map[string]bool{}
	for _, w := range strings.Fields(list) {
		out[w] = true
	}
	return out
}
