package realworld

import (
	"fmt"
	"math/rand/v2"
	"path"
	"strings"
)

// world is the content of the system: rows in the order of the columns of schema.sql, and files by path.
type world struct {
	order []string
	rows  map[string][][]any
	files map[string]string
	// late statements make links that no order of inserting allows.
	late []string
	last map[string]int
	rand *rand.Rand
}

// person is a candidate's row with what must be found nowhere once it is erased.
type person struct {
	id, site    int
	first, last string
	email1      string
	email2      any
	phone       string
	mergedInto  any
	referredBy  any
}

func (p person) publicID() string { return fmt.Sprintf("cand-%d", p.id) }
func (p person) name() string     { return p.first + " " + p.last }

const (
	people    = 320 // of site 1, with numbers from 1
	vacancies = 40
	staff     = 8
)

// Kinds of items in polymorphic tables.
const (
	itemCandidate   = 100
	itemCompany     = 200
	itemContact     = 300
	itemVacancy     = 400
	itemApplication = 500
)

// The two people who are erased, and others whose data looks like theirs.
var special = map[int]person{
	1:   {first: "Annelise", last: `O'Brien "Canary"`, email1: "ann@x.org", email2: "Ann_Bk@Mail.example", phone: "+49 170 1000001"},
	10:  {first: "Joann", last: `D\Arc-Canary`, email1: "joann@x.org", email2: "jo@canary.example", phone: "+49 170 10000010", referredBy: 1},
	11:  {first: "Ann", last: "O'Brien", email1: "an.n@x.org", phone: "+49 170 100000"},
	12:  {first: "Anne", last: "Wildcard", email1: "annxbk@mail.example", email2: "ann%@x.org"},
	13:  {first: "Änn", last: "Umlaut", email1: "änn@x.org", email2: "ánn@x.org"},
	14:  {first: "Ann", last: "Longer", email1: "ann@x.orgx", email2: "xann@x.org"},
	15:  {first: "Ann", last: "Plus", email1: "ann+1@x.org", email2: "ann@x.org@y.org"},
	18:  {first: "ANNELISE", last: "Uppercase-Canary", email1: "ANN@X.ORG", phone: "+49 170 1000018"}, // the first one again
	19:  {first: "Ann", last: "Kelvin", email1: "ann_b\u212A@mail.example"},
	100: {first: "Annabel", last: "Lee", email1: "ann@x.org.au", email2: "ann@x.or"},
	117: {first: "Liese", last: "Married-Canary", email1: "ann_bk@mail.example", phone: "+49 170 1000117"}, // and again
	118: {first: "Bea", last: "Referred", email1: "bea@x.org", referredBy: 117},
	203: {first: "Anneliese", last: "Merged-Canary", phone: "+49 170 1000203", mergedInto: 1, referredBy: 10},
	204: {first: "A.", last: "Mergedtwice-Canary", phone: "+49 170 1000204", mergedInto: 203},
	301: {first: "Joan", last: "Again-Canary", phone: "+49 170 1000301", mergedInto: 10},
}

// makeWorld makes everything. Each time it is the same.
func makeWorld() *world {
	w := &world{rows: map[string][][]any{}, files: map[string]string{}, last: map[string]int{}, rand: rand.New(rand.NewPCG(1, 2))}
	w.lookups()
	var all []person
	for id := 1; id <= people; id++ {
		p, ok := special[id]
		if !ok {
			p = person{first: fmt.Sprintf("Given%d", id), last: fmt.Sprintf("Family-%d", id), email1: fmt.Sprintf("mail%d@example.org", id)}
		}
		if p.phone == "" {
			p.phone = fmt.Sprintf("+49 170 2%06d", id)
		}
		p.id, p.site = id, 1
		all = append(all, p)
	}
	// The same person is a candidate of another tenant too.
	all = append(all, person{id: 330, site: 2, first: "Given", last: "Family", email1: special[1].email1, email2: special[1].email2, phone: "+49 170 2000330"})
	w.new("sms_message", 2, special[1].phone, "from another tenant")
	for _, p := range all {
		w.candidate(p)
	}
	w.clients()
	for _, p := range all {
		w.applications(p)
		w.polymorphic(p)
		if p.mergedInto == nil { // what was merged has gone over
			w.correspondence(p)
		}
		w.legal(p)
	}
	w.otherItems()
	w.bulk(all)
	w.shared()
	w.threads()
	w.links()
	return w
}

func (w *world) add(table string, values ...any) {
	if w.rows[table] == nil {
		w.order = append(w.order, table)
	}
	w.rows[table] = append(w.rows[table], values)
}

// next number of a table's key.
func (w *world) next(table string) int {
	w.last[table]++
	return w.last[table]
}

// new adds a row with a number as its key, which it returns.
func (w *world) new(table string, values ...any) int {
	id := w.next(table)
	w.add(table, append([]any{id}, values...)...)
	return id
}

func (w *world) file(name, content string) { w.files[name] = content }

func (w *world) user() int { return 1 + w.rand.IntN(staff) }

// at is a time of day in a year.
func at(year, n int) string {
	return fmt.Sprintf("%d-%02d-%02d %02d:%02d:07", year, 1+n%12, 1+n%28, n%24, n%60)
}

func date(year, n int) string { return at(year, n)[:10] }

func (w *world) lookups() {
	w.add("site", 1, "Acme")
	w.add("site", 2, "Other tenant")
	for i := range staff {
		// Some of the staff have addresses like a candidate's.
		w.add("app_user", i+1, 1, fmt.Sprintf("user%d", i+1), []string{"recruiter@acme.example", "joann@x.org.au", "ann@x.org.example"}[i%3])
	}
	for i, name := range []string{"portal", "referral", "agency"} {
		w.add("candidate_source", i+1, name)
		w.add("pipeline", i+1, name)
		w.add("tag", i+1, "tag "+name, nil)
		w.add("skill", i+1, "skill "+name)
		w.add("questionnaire", i+1, "About "+name)
		w.add("saved_list", i+1, 1, "list "+name, i+1)
		for j := range 3 {
			w.add("pipeline_stage", 10*i+j+1, i+1, fmt.Sprintf("stage %d", j))
			w.add("question", 10*i+j+1, i+1, "Why?")
		}
	}
	w.add("email_template", 1, "Dear %NAME%", "Write to jobs@acme.example")
	w.add("setting", "language", "en")
}

func nullable(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func (w *world) candidate(p person) {
	w.add("candidate", p.id, p.site, p.publicID(), p.first, p.last, nullable(p.email1), p.email2, p.phone, "0"+p.phone[4:], date(1960+p.id%40, p.id),
		"Town", "Notes on "+p.name(), []byte(p.name()+"\xff\x00"), p.id%5, 1+p.id%3, 1+p.id%staff, p.mergedInto, p.referredBy, 1, at(2020, p.id))
	for i := range 2 {
		w.new("candidate_phone", p.id, fmt.Sprintf("%s-%d", p.phone, i))
		w.add("candidate_address", p.id, []string{"home", "work"}[i], "Street of "+p.name())
		w.add("candidate_tag", i+1, p.id)
		w.add("candidate_skill", p.id, i+1, fmt.Sprintf("%d.5", p.id%10))
	}
	document, contact := w.resume(p)
	w.new("profile", p.id, document, contact, at(2021, p.id))
	w.new("search_cache", p.id, p.id%100)
}

// resume is what a parser made of a resume, and of the addresses in it. Some lack what others have.
func (w *world) resume(p person) (document string, contact any) {
	quote := func(s string) string { return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"` }
	switch p.id {
	case 330:
		return "{}", nil
	case 18:
		return `{"name": ` + quote(p.name()) + `, "personal": null, "skills": []}`, `{"phones": null, "email": null}`
	case 117:
		return `{"personal": {"birth date": "1990-02-28"}, "n": 12345678901234567890}`, `{"email": "ann_bk@mail.example", "handle": ` + quote(p.name()) + `}`
	case 204:
		return `{"name": {"first": ` + quote(p.first) + `, "last": ` + quote(p.last) + `}, "personal": {}, "skills": ["Go"]}`, nil
	}
	return fmt.Sprintf(`{"name": %s, "personal": {"birth date": "19%02d-05-17", "n": 12.50}, "headline": %s, "skills": ["C++", {"name": "a\\b"}]}`,
			quote(p.name()), p.id%100, quote("mail <"+p.email1+"> or joann@x.org.au")),
		fmt.Sprintf(`{"email": %s, "phones": {"cell": %q, "none": null}, "city": "Köln", "handle": %s}`, quote(p.email1), p.phone, quote(p.name()))
}

func (w *world) clients() {
	for i := 1; i <= 20; i++ {
		w.add("company", i, 1, fmt.Sprintf("Company %d", i), nil)
	}
	for i := 1; i <= 40; i++ {
		former := map[int]any{5: 1, 6: 117, 7: 10, 8: 42}[i]
		w.add("contact", i, 1, 1+i%20, "Contact", fmt.Sprintf("Person%d", i), "ann@x.org.client", former, nil)
		w.late = append(w.late, fmt.Sprintf("UPDATE company SET billing_contact_id = %d WHERE company_id = %d", i, 1+i%20))
	}
	for i := 1; i <= vacancies; i++ {
		filled := map[int]any{1: 1, 2: 117, 3: 10, 4: 203, 5: 18}[i]
		notes := map[int]any{2: "ask ann@x.org, then ANN_BK@mail.example; not joann@x.org", 3: "joann@x.org|ann@x.org.au", 6: "(ann@x.org)", 7: "ann_b\u212A@mail.example, annxbk@mail.example",
			8: "ann_bk@mail.example and ann_b\u212A@mail.example"}[i]
		w.add("joborder", i, 1, 1+i%20, i, fmt.Sprintf("Vacancy %d", i), 1+i%staff, filled, notes)
	}
}

// applications of a candidate with what hangs on them.
func (w *world) applications(p person) {
	for i := range 2 {
		vacancy := 1 + (p.id*2+i)%vacancies
		if p.id == 117 && i == 0 || p.id == 18 && i == 1 {
			vacancy = 1 // two rows of one person for the same vacancy
		}
		closed := any(at(2023, p.id))
		if p.id > 20 && p.id%7 == 0 && p.id != 203 && p.id != 301 {
			closed = nil // the process runs
		}
		id := w.new("candidate_joborder", p.id, vacancy, 1, "I am "+p.name(), at(2022, p.id), closed)
		for s := range 3 {
			w.new("status_history", id, []any{nil, 1, 2}[s], s+1, w.user(), at(2022, s))
		}
		w.new("application_statistic", p.id, vacancy, nil, date(2022, p.id))
		w.interview(p, id)
		status, signed := []string{"accepted", "declined"}[i], any(date(2010, p.id))
		if p.id == 42 {
			signed = any("2025-01-31")
		}
		w.new("offer", id, status, fmt.Sprintf("%d.50", 40000+p.id), signed)
		task := w.new("onboarding_task", id, "Contract for "+p.name(), nil)
		folder, name := fmt.Sprintf("t%d", task), "contract's \u2603.pdf"
		document := w.new("onboarding_document", task, folder, name)
		w.file(path.Join("onboarding", folder, name), "contract of "+p.name())
		if document%3 == 0 {
			w.new("onboarding_document", task, nil, name) // names no file
		}
	}
	response := w.new("questionnaire_response", p.id, 1)
	for q := 1; q <= 3; q++ {
		w.add("answer", response, q, "Because I am "+p.name())
	}
}

func (w *world) interview(p person, application int) {
	id := w.new("interview", application, at(2022, p.id), p.name()+" said")
	w.add("interview_participant", id, 1)
	w.add("interview_participant", id, 2)
	card := w.new("scorecard", id, w.user(), p.name()+" did well")
	w.add("scorecard_rating", card, "skill", 3)
	w.add("scorecard_rating", card, "humour's", 5)
	folder := fmt.Sprintf("recordings/%d/%d", application, id)
	w.file(folder+"/sound.ogg", "voice of "+p.name())
	w.file(folder+"/screen/1.png", "screen of "+p.name())
}

// items adds what any item can have.
func (w *world) items(kind, id, site int, words string) {
	attachment := w.next("attachment")
	// Folders are prefixes of each other: 1/1, 1/10, 10/1.
	folder, name := fmt.Sprintf("%d-%d", kind/100, id), fmt.Sprintf("%d_r\u00e9sum\u00e9.pdf", attachment%3)
	w.add("attachment", attachment, site, kind, id, "Title of "+words, folder, name, words)
	w.file(path.Join("attachments", folder, name), "file of "+words)
	w.new("activity", site, kind, id, w.user(), "Called "+words, at(2022, id))
	w.new("history", kind, id, "name", nil, words, w.user())
	w.add("saved_list_entry", 1+id%3, kind, id)
	w.new("calendar_event", site, kind, id, "Meet "+words, w.user())
	w.add("extra_field", kind, id, "hobby", words)
	w.add("extra_field", kind, id, "it's", nil)
}

func (w *world) polymorphic(p person) {
	w.items(itemCandidate, p.id, p.site, p.name())
	event := w.last["calendar_event"]
	if p.email1 != "" {
		w.add("calendar_attendee", event, p.site, p.email1)
	}
	w.add("calendar_attendee", event, p.site, "recruiter@acme.example")
	// The second attachment has no file; both columns are needed to name one.
	w.add("attachment", w.next("attachment"), p.site, itemCandidate, p.id, "no file", nil, fmt.Sprintf("%d.pdf", p.id), p.name())
	root := w.new("discussion_comment", p.site, "candidate", fmt.Sprint(p.id), nil, "recruiter@acme.example", p.name()+" looks good")
	reply := w.new("discussion_comment", p.site, nil, nil, root, "other@acme.example", "yes, "+p.name())
	w.new("discussion_comment", p.site, "candidate", fmt.Sprint(p.id), reply, "recruiter@acme.example", "done")
}

// otherItems are of companies, contacts, vacancies and applications, with the numbers of candidates.
func (w *world) otherItems() {
	for i := 1; i <= vacancies; i++ {
		w.items(itemVacancy, i, 1, fmt.Sprintf("vacancy %d", i))
		w.items(itemContact, i, 1, fmt.Sprintf("contact %d", i))
		if i <= 20 {
			w.items(itemCompany, i, 1, fmt.Sprintf("company %d", i))
		}
	}
	for _, row := range w.rows["candidate_joborder"] {
		w.items(itemApplication, row[0].(int), 1, fmt.Sprintf("application %d", row[0]))
	}
	// Another tenant's activity with the number of a candidate of this one, and notes on a vacancy.
	w.new("activity", 2, itemCandidate, 1, 1, "of another tenant", at(2022, 1))
	w.new("activity", 1, itemVacancy, 1, 1, "sent to ann@x.org,joann@x.org", at(2022, 1))
	w.new("activity", 2, itemVacancy, 1, 1, "sent to ann@x.org,joann@x.org", at(2022, 1))
	// Numbers as text, which only careless comparisons take for the same.
	for _, id := range []string{"01", "1.0", "1a", " 1", "10 ", "", "1e0"} {
		w.new("discussion_comment", 1, "candidate", id, nil, "recruiter@acme.example", "on somebody else")
	}
	w.new("discussion_comment", 1, "Candidate", "1", nil, "recruiter@acme.example", "an unknown kind")
}
