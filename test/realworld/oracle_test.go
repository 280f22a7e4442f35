package realworld

import (
	"encoding/json"
	"regexp"
	"strings"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// The oracle is what somebody who knows the system would do by hand: it works on the dump alone, in the order of the
// tables, and knows nothing of maps and plans.

// subject is who is erased.
type subject struct {
	publicID string
	emails   []string
	phones   []string
}

// erasure is the state of the dump while the oracle works.
type erasure struct {
	*snapshot
	subject
	counts map[string]*v1alpha1.CategoryCount
	// candidates and applications of the subject; the pinned ones stay because a law needs them, the going ones do not.
	candidates, applications map[string]bool
	pinned, pinnedApps       map[string]bool
	// mine are the rows of tables whose rows stay that are the subject's anyway.
	mine map[string]map[string]bool
}

// generated is in the place of a text that only the operator can make: 26 characters, the same for the same tag.
const generated = "\x00generated:"

// expect what an erasure leaves, with its counts.
func expect(before *snapshot, s subject) *erasure {
	e := &erasure{snapshot: before.clone(), subject: s, counts: map[string]*v1alpha1.CategoryCount{}, mine: map[string]map[string]bool{}}
	e.find()
	e.pin()
	e.forgetCandidates()
	e.forgetApplications()
	e.forgetItems()
	e.forgetComments()
	e.forgetMail()
	e.forgetOthers()
	e.forgetDocuments()
	e.forgetLinks()
	return e
}

func (e *erasure) count(category string) *v1alpha1.CategoryCount {
	if e.counts[category] == nil {
		e.counts[category] = &v1alpha1.CategoryCount{Category: category}
	}
	return e.counts[category]
}

// remove rows; files names the file of a row, if it has one.
func (e *erasure) remove(table, category string, going func(row) bool) []row {
	var gone []row
	for k, r := range e.tables[table] {
		if going(r) {
			delete(e.tables[table], k)
			gone = append(gone, r)
			e.count(category).Deleted++
		}
	}
	return gone
}

// unlink removes files that rows name by two columns.
func (e *erasure) unlink(category, folder, first, second string, gone []row) {
	for _, r := range gone {
		if r[first] != "" && r[second] != "" {
			e.removeFile(category, folder+"/"+r[first]+"/"+r[second])
		}
	}
}

func (e *erasure) removeFile(category, name string) {
	if _, ok := e.files[name]; ok {
		delete(e.files, name)
		e.count(category).Files++
	}
}

// change rows that stay.
func (e *erasure) change(table, category string, which func(row) bool, how func(row)) {
	e.mine[table] = map[string]bool{}
	for k, r := range e.tables[table] {
		if which(r) {
			e.mine[table][k] = true
			how(r)
			e.count(category).Anonymized++
		}
	}
}

func in(set map[string]bool, column string) func(row) bool {
	return func(r row) bool { return set[r[column]] }
}

func values(rows []row, column string) map[string]bool {
	set := map[string]bool{}
	for _, r := range rows {
		set[r[column]] = true
	}
	return set
}

// lower maps ASCII alone, as addresses are compared.
func lower(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

func (e *erasure) isEmail(s string) bool {
	for _, email := range e.emails {
		if lower(s) == lower(email) {
			return true
		}
	}
	return false
}

var word = regexp.MustCompile(`[^ \t\n\v\f\r,;<>()\[\]{}"|\\]+`)

// names tells whether a text has an address of the subject among its words.
func (e *erasure) names(text string) bool {
	for _, w := range word.FindAllString(text, -1) {
		if e.isEmail(w) {
			return true
		}
	}
	return false
}

// redact takes the subject's addresses out of a column.
func (e *erasure) redact(r row, column string) {
	if text, ok := r[column]; ok {
		r[column] = word.ReplaceAllStringFunc(text, func(w string) string {
			if e.isEmail(w) {
				return "[erased]"
			}
			return w
		})
	}
}

// find the subject's candidates and applications.
func (e *erasure) find() {
	e.candidates, e.applications = map[string]bool{}, map[string]bool{}
	for k, r := range e.tables["candidate"] {
		if r["site_id"] == "1" && (r["public_id"] == e.publicID || e.isEmail(r["email1"]) || e.isEmail(r["email2"])) {
			e.candidates[k] = true
		}
	}
	for again := true; again; {
		again = false
		for k, r := range e.tables["candidate"] {
			if e.candidates[r["merged_into_id"]] && !e.candidates[k] {
				e.candidates[k], again = true, true
			}
		}
	}
	for k, r := range e.tables["candidate_joborder"] {
		if e.candidates[r["candidate_id"]] {
			e.applications[k] = true
		}
	}
}

// pin what laws need on 2026-03-01: candidates with payroll records of the last six years, and those that they were merged
// into; applications with contracts of the last ten years.
func (e *erasure) pin() {
	e.pinned, e.pinnedApps = map[string]bool{}, map[string]bool{}
	for _, r := range e.tables["audit_log"] {
		if e.candidates[r["candidate_id"]] && r["category"] == "payroll" && r["logged_at"] > "2020-03-01 12:00:00" {
			for id := r["candidate_id"]; id != ""; id = e.tables["candidate"][id]["merged_into_id"] {
				e.pinned[id] = true
			}
			e.count("history").Retained++
		}
	}
	e.count("contact").Retained += int64(len(e.pinned))
}

func (e *erasure) forgetCandidates() {
	e.remove("candidate", "contact", func(r row) bool { return e.candidates[r["candidate_id"]] && !e.pinned[r["candidate_id"]] })
	for id := range e.pinned {
		r := e.tables["candidate"][id]
		r["first_name"], r["last_name"], r["rank"] = "removed", "removed", "0"
		for _, c := range []string{"email1", "email2"} {
			if old, ok := r[c]; ok {
				r[c] = generated + "pseudonym " + old
			}
		}
		for _, c := range []string{"phone_cell", "phone_home", "notes", "photo"} {
			delete(r, c)
		}
		r["birth date"], r["created_at"] = r["birth date"][:4]+"-01-01", r["created_at"][:7]+"-01 00:00:00"
	}
	of := in(e.candidates, "candidate_id")
	e.remove("candidate_phone", "contact", of)
	e.remove("candidate_address", "contact", of)
	e.remove("portal_session", "contact", of)
	e.remove("candidate_skill", "profile", of)
	e.remove("candidate_tag", "profile", of)
	e.remove("duplicate_suggestion", "profile", func(r row) bool { return e.candidates[r["candidate_a"]] || e.candidates[r["candidate_b"]] })
	e.remove("referral", "profile", in(e.candidates, "referred_id"))
	e.remove("audit_log", "history", func(r row) bool {
		return of(r) && (r["category"] != "payroll" || r["logged_at"] <= "2020-03-01 12:00:00")
	})
	e.change("profile", "resume", of, func(r row) {
		delete(r, "candidate_id")
		r["document"], r["parsed_at"] = e.withoutPerson(r["document"]), r["parsed_at"][:10]+" 00:00:00"
		if contact, ok := r["contact"]; ok {
			r["contact"] = withoutAddresses(contact)
		}
	})
	for _, r := range e.tables["search_cache"] {
		if of(r) && !e.pinned[r["candidate_id"]] {
			delete(r, "candidate_id")
		}
	}
	responses := values(e.remove("questionnaire_response", "scores", of), "response_id")
	e.remove("answer", "scores", in(responses, "response_id"))
}

// withoutPerson is the document of a parsed resume without the person.
func (e *erasure) withoutPerson(text string) string {
	doc := parse(text).(map[string]any)
	if _, ok := doc["name"]; ok {
		doc["name"] = `removed "for good"`
	}
	if personal, ok := doc["personal"].(map[string]any); ok && personal["birth date"] != nil {
		personal["birth date"] = personal["birth date"].(string)[:4] + "-01-01"
	}
	if headline, ok := doc["headline"].(string); ok {
		r := row{"headline": headline}
		e.redact(r, "headline")
		doc["headline"] = r["headline"]
	}
	return unparse(doc)
}

// withoutAddresses is the document of what a resume says of addresses without them.
func withoutAddresses(text string) string {
	doc := parse(text).(map[string]any)
	delete(doc, "email")
	if phones, ok := doc["phones"].(map[string]any); ok {
		phones["cell"] = nil
	}
	if handle, ok := doc["handle"].(string); ok {
		doc["handle"] = generated + "pseudonym " + handle
	}
	return unparse(doc)
}

func unparse(doc any) string {
	out, err := json.Marshal(doc)
	if err != nil {
		panic(err)
	}
	return string(out)
}

func (e *erasure) forgetApplications() {
	of := in(e.applications, "candidate_joborder_id")
	e.remove("candidate_joborder", "profile", of)
	e.remove("status_history", "profile", of)
	e.remove("offer", "documents", of)
	e.change("application_statistic", "profile", in(e.candidates, "candidate_id"), func(r row) {
		r["seen_before"] = generated + "seen " + r["candidate_id"] + " " + r["joborder_id"]
		delete(r, "candidate_id")
		r["applied_on"] = r["applied_on"][:7] + "-01"
	})
	tasks := values(e.remove("onboarding_task", "documents", of), "task_id")
	e.unlink("documents", "onboarding", "folder", "file_name", e.remove("onboarding_document", "documents", in(tasks, "task_id")))
	interviews := e.remove("interview", "transcripts", of)
	for _, r := range interviews {
		for name := range e.files {
			if strings.HasPrefix(name, "recordings/"+r["candidate_joborder_id"]+"/"+r["interview_id"]+"/") {
				e.removeFile("recordings", name)
			}
		}
	}
	e.remove("interview_participant", "transcripts", in(values(interviews, "interview_id"), "interview_id"))
	cards := values(e.remove("scorecard", "scores", in(values(interviews, "interview_id"), "interview_id")), "scorecard_id")
	e.remove("scorecard_rating", "scores", in(cards, "scorecard_id"))
}

// forgetItems goes through the polymorphic tables.
func (e *erasure) forgetItems() {
	of := func(r row) bool {
		return r["data_item_type"] == "100" && e.candidates[r["data_item_id"]] || r["data_item_type"] == "500" && e.applications[r["data_item_id"]]
	}
	e.unlink("documents", "attachments", "directory_name", "stored_filename", e.remove("attachment", "documents", of))
	e.remove("activity", "notes", func(r row) bool { return of(r) && r["site_id"] == "1" })
	e.change("activity", "notes", func(r row) bool { return r["site_id"] == "1" && r["data_item_type"] == "400" && e.names(r["notes"]) },
		func(r row) { e.redact(r, "notes") })
	e.remove("history", "history", of)
	e.remove("saved_list_entry", "profile", of)
	e.remove("extra_field", "profile", of)
	events := values(e.remove("calendar_event", "communication", of), "event_id")
	e.remove("calendar_attendee", "communication", func(r row) bool { return events[r["event_id"]] || r["site_id"] == "1" && e.isEmail(r["attendee"]) })
}

// forgetComments on the candidates, by the candidates, and all that answer them.
func (e *erasure) forgetComments() {
	going := map[string]bool{}
	for again := true; again; {
		again = false
		for k, r := range e.tables["discussion_comment"] {
			if going[k] || r["site_id"] != "1" {
				continue
			}
			if r["item_type"] == "candidate" && e.candidates[r["item_id"]] || e.isEmail(r["author_email"]) || going[r["parent_id"]] {
				going[k], again = true, true
			}
		}
	}
	e.remove("discussion_comment", "notes", in(going, "comment_id"))
}

func (e *erasure) forgetMail() {
	of := func(r row) bool {
		return r["site_id"] == "1" && (e.names(r["from"]) || e.names(r["to"]) || e.names(r["cc"]))
	}
	mails := values(e.remove("email_message", "communication", func(r row) bool { return of(r) && r["kind"] == "personal" }), "email_id")
	e.unlink("communication", "mail", "folder", "file_name", e.remove("email_attachment", "communication", in(mails, "email_id")))
	e.change("email_message", "communication", of, func(r row) {
		e.redact(r, "from")
		e.redact(r, "to")
		e.redact(r, "cc")
	})
	e.cut("email_message", "in_reply_to", "communication", mails)
}

// forgetOthers goes through what an identity finds.
func (e *erasure) forgetOthers() {
	here := func(column string) func(row) bool {
		return func(r row) bool { return r["site_id"] == "1" && e.isEmail(r[column]) }
	}
	e.remove("sms_message", "communication", func(r row) bool {
		for _, p := range e.phones {
			if r["site_id"] == "1" && r["phone"] == p {
				return true
			}
		}
		return false
	})
	referees := values(e.remove("referee", "contact", func(r row) bool { return e.candidates[r["candidate_id"]] || here("email")(r) }), "referee_id")
	e.unlink("documents", "letters", "folder", "file_name", e.remove("reference_letter", "documents", in(referees, "referee_id")))
	e.remove("job_alert", "communication", here("email"))
	e.remove("login_attempt", "contact", func(r row) bool { return r["site_id"] == "1" && e.isEmail(strings.TrimSpace(r["email"])) })
	e.change("import_row", "profile", func(r row) bool { return r["site_id"] == "1" && e.names(r["raw"]) }, func(r row) {
		e.redact(r, "raw")
		r["imported_at"] = r["imported_at"][:10] + " 00:00:00"
	})
	e.change("joborder", "notes", func(r row) bool { return r["site_id"] == "1" && e.names(r["hiring_notes"]) }, func(r row) { e.redact(r, "hiring_notes") })
	e.change("consent", "consent", here("email"), func(r row) {
		r["email"] = generated + "hash " + r["email"]
		delete(r, "ip")
	})
	e.mine["placement_fee"] = map[string]bool{}
	for k, r := range e.tables["placement_fee"] {
		if here("candidate_email")(r) {
			e.mine["placement_fee"][k] = true
			e.count("contact").Kept++
		}
	}
}

// forgetDocuments that no candidate and no vacancy has any more.
func (e *erasure) forgetDocuments() {
	had := values(e.remove("document_share", "documents", in(e.candidates, "candidate_id")), "document_id")
	used := map[string]bool{}
	for _, table := range []string{"document_share", "joborder_document"} {
		for _, r := range e.tables[table] {
			used[r["document_id"]] = true
		}
	}
	for id := range had {
		if used[id] {
			e.count("documents").Shared++
		}
	}
	e.unlink("documents", "shared", "folder", "file_name", e.remove("document", "documents", func(r row) bool {
		return had[r["document_id"]] && !used[r["document_id"]]
	}))
}

// forgetLinks from what stays to candidates that go.
func (e *erasure) forgetLinks() {
	gone := map[string]bool{}
	for id := range e.candidates {
		gone[id] = !e.pinned[id]
	}
	e.mine["candidate"] = e.candidates
	e.cut("candidate", "referred_by_id", "contact", gone)
	e.cut("referral", "referrer_id", "profile", gone)
	e.cut("joborder", "filled_by_id", "notes", gone)
	e.cut("contact", "former_candidate_id", "contact", gone)
	e.cut("placement_fee", "candidate_id", "contact", gone)
	e.cut("joborder_document", "suggested_by_id", "documents", gone)
}

// cut links; those of the subject's own rows are not counted.
func (e *erasure) cut(table, column, category string, gone map[string]bool) {
	for k, r := range e.tables[table] {
		if gone[r[column]] {
			delete(r, column)
			if !e.mine[table][k] {
				e.count(category).Unlinked++
			}
		}
	}
}

// release is what goes when the laws need nothing any more: what an earlier erasure had to leave.
func release(before *snapshot, pinned map[string]bool) *snapshot {
	e := &erasure{snapshot: before.clone(), counts: map[string]*v1alpha1.CategoryCount{}, candidates: pinned, mine: map[string]map[string]bool{}}
	e.remove("audit_log", "history", in(pinned, "candidate_id"))
	e.remove("candidate", "contact", in(pinned, "candidate_id"))
	for _, r := range e.tables["search_cache"] {
		if pinned[r["candidate_id"]] {
			delete(r, "candidate_id")
		}
	}
	e.forgetLinks()
	return e.snapshot
}
