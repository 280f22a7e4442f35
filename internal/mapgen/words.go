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

// suffixes of columns that refer to something.
var suffixes = words(`id ids no nr num number key fk pk uuid guid code ref oid`)

// qualified tells whether a column that refers to a table says more than the table's name, as former_candidate_id and
// billing_contact_id do: it is another tie than that the record is the subject's.
func qualified(column string, from, to *table) bool {
	names, more := false, false
	own, other := planner.Tokens(from.Table.Name), planner.Tokens(to.Table.Name)
	for _, w := range planner.Tokens(column) {
		alike := func(name string) bool { return sameWord(w, name) }
		switch {
		case slices.ContainsFunc(other, alike):
			names = true
		case len(w) > 2 && !suffixes[w] && !slices.ContainsFunc(own, alike):
			more = true
		}
	}
	return names && more
}

// sameWord compares words, one of which may be the plural.
func sameWord(a, b string) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	return len(a) > 2 && (strings.HasPrefix(b, a) && len(b)-len(a) <= 2 || strings.TrimSuffix(a, "y")+"ies" == b)
}

// merged are words of columns that lead from a record to another one of the same person.
var merged = words(`merged duplicate duplicated dupe canonical master survivor alias zusammengefuehrt dublette`)

func merges(columns []string) bool {
	return slices.ContainsFunc(columns, func(c string) bool {
		return slices.ContainsFunc(planner.Tokens(c), func(w string) bool { return merged[w] })
	})
}

// lawful are words of tables whose records a law may want to be kept.
var lawful = words(`audit payroll contract contracts invoice invoices fee fees payment payments offer offers tax taxes accounting
	bookkeeping rechnung rechnungen vertrag vertraege lohn gehalt buchung buchungen`)

// furniture are words of tables that the makers of the system fill, not its subjects.
var furniture = words(`setting settings config configuration configurations parameter parameters template templates migration
	migrations einstellung einstellungen vorlage vorlagen`)

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
		letters nachricht nachrichten clarification alert alerts newsletter newsletters reminder reminders invitation invitations
		calendar appointment appointments termin termine`), "communication"},
	{words(`document documents file files attachment attachments upload uploads certificate certificates dokument dokumente datei
		dateien anhang anlagen contract contracts invoice invoices offer offers vertrag vertraege rechnung rechnungen`), "documents"},
	{words(`score scores scorecard scorecards evaluation evaluations assessment assessments rating ratings match matches review
		reviews questionnaire questionnaires survey surveys answer answers bewertung bewertungen fragebogen antwort antworten`), "scores"},
	{words(`address addresses contact contacts phone phones adresse adressen kontakt kontakte`), "contact"},
	{words(`audit history histories log logs revision revisions protokoll verlauf`), "history"},
}

// category goes by the table's name and, where that says nothing, by its columns.
func category(t *table, root bool) string {
	has := func(w string) func(backend.ColumnInfo) bool {
		return func(c backend.ColumnInfo) bool { return slices.Contains(planner.Tokens(c.Name), w) }
	}
	for _, c := range categories {
		if slices.ContainsFunc(planner.Tokens(t.Table.Name), func(w string) bool { return c.words[w] }) {
			if c.category == "recordings" && slices.ContainsFunc(t.Columns, has("transcript")) {
				return "transcripts"
			}
			return c.category
		}
	}
	switch {
	case root || slices.ContainsFunc(t.Columns, func(c backend.ColumnInfo) bool {
		k := planner.Personal(c.Name, c.Type)
		return k == planner.KindEmail || k == planner.KindPhone || k == planner.KindAddress
	}):
		return "contact"
	case slices.ContainsFunc(t.Columns, has("notes")):
		return "notes"
	}
	return "profile"
}

var (
	timeType  = regexp.MustCompile(`(?i)^(date|datetime|timestamp|timestamptz)`)
	clockName = regexp.MustCompile(`(?i)(_at|_on|_date|_time|datum|_am)$`)
	stateName = words(`status state stage phase zustand`)
	fileName  = regexp.MustCompile(`(?i)(file_?name|file_?path|storage|object_?key|s3_?key|blob|bucket|datei|document_?path|_dir$|_path$|_url$|^folder$|directory)`)
	lists     = words(`from to cc bcc recipient recipients sender attendee attendees invitee invitees`)
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
