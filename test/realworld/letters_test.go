package realworld

import (
	"fmt"
	"path"
	"strings"
)

// correspondence of a candidate: mail, messages, referees and what the portal remembers.
func (w *world) correspondence(p person) {
	first := w.mail(p, "personal", "recruiter@acme.example", fmt.Sprintf("%q <%s>", p.name(), p.email1), nil, nil)
	second := w.mail(p, "personal", p.email1, "recruiter@acme.example", "other@acme.example;"+fmt.Sprint(p.email2), first)
	w.mail(p, "personal", "recruiter@acme.example", "other@acme.example", nil, second) // about the candidate, without the address
	w.new("sms_message", p.site, p.phone, "Dear "+p.first)
	referee := w.new("referee", p.site, p.id, "Referee of "+p.name(), fmt.Sprintf("referee%d@example.com", p.id))
	w.letter(referee, "letter for "+p.name())
	if p.id%50 == 3 {
		// The person who is erased speaks for somebody else.
		w.letter(w.new("referee", p.site, p.id, special[1].name(), "Ann@x.org"), "letter by "+special[1].name())
		w.letter(w.new("referee", p.site, p.id, special[13].name(), "änn@x.org"), "letter by another")
	}
	w.new("consent", p.site, p.email1, "contact", "192.0.2.1", at(2021, p.id))
	w.new("consent", p.site, strings.ToUpper(p.email1), "talent pool", nil, at(2021, p.id))
	w.new("login_attempt", p.site, "  "+p.email1+" ", "192.0.2.7")
	w.new("login_attempt", p.site, p.email1, "192.0.2.7")
	if _, ok := special[p.id]; !ok || p.id == 1 || p.id == 10 || p.id == 100 {
		w.new("job_alert", p.site, p.email1, "gardener")
	}
	w.add("portal_session", fmt.Sprintf("Session'%d", p.id), p.id, fmt.Sprintf("00000000-0000-4000-8000-%012d", p.id), at(2024, p.id))
	w.add("portal_session", fmt.Sprintf("session'%d", p.id), 1+(p.id%people), fmt.Sprintf("00000000-0000-4000-8000-%012d", p.id), at(2024, p.id))
}

func (w *world) mail(p person, kind, from, to string, cc, replyTo any) int {
	subject, body := any("Your application, "+p.first), any("Dear "+p.name())
	if !strings.Contains(from+to, p.email1) {
		subject, body = "Re: an applicant", "no names"
	}
	id := w.new("email_message", p.site, kind, from, to, cc, subject, body, replyTo, at(2022, p.id))
	folder := fmt.Sprintf("m%d", id)
	w.new("email_attachment", id, folder, "a.pdf")
	w.file(path.Join("mail", folder, "a.pdf"), "attachment, "+fmt.Sprint(subject))
	return id
}

func (w *world) letter(referee int, words string) {
	id := w.next("reference_letter")
	w.add("reference_letter", id, referee, words, "l", fmt.Sprintf("%d.pdf", id))
	w.file(fmt.Sprintf("letters/l/%d.pdf", id), words)
}

// legal is what laws want to be kept, for some.
func (w *world) legal(p person) {
	w.new("audit_log", p.id, "access", w.user(), "looked at "+p.name(), at(2025, p.id))
	w.new("audit_log", p.id, "payroll", w.user(), "paid "+p.name(), at(2015, p.id)) // the period is over
	if p.id == 42 || p.id == 203 {
		w.new("audit_log", p.id, "payroll", w.user(), "paid "+p.name(), "2024-05-01 08:00:00")
	}
	if p.id == 117 || p.id == 301 {
		// Under an address that nobody names any more: the link alone leads to the person.
		w.new("placement_fee", p.site, 1, p.id, p.name(), fmt.Sprintf("former%d@canary.example", p.id), "99.90")
	}
	if p.id%9 == 1 {
		w.new("placement_fee", p.site, 1, p.id, p.name(), strings.ToUpper(p.email1), "1500.00")
	}
}

// bulk mail to many, and rows of imports: texts that name several people.
func (w *world) bulk(all []person) {
	for i := 0; i < len(all); i += 40 {
		var to, cc, lines []string
		for _, p := range all[i:min(i+40, len(all))] {
			if p.email1 == "" {
				continue
			}
			to = append(to, fmt.Sprintf("%q <%s>", "Candidate", p.email1))
			if e, ok := p.email2.(string); ok {
				cc = append(cc, e)
			}
			lines = append(lines, p.email1)
		}
		lines = append(lines, "ann@x.org.au", "ann@x.org")
		w.mail(person{site: 1, email1: "?"}, "bulk", "news@acme.example", strings.Join(to, ", "), nullable(strings.Join(cc, ";")), nil)
		w.new("import_row", 1, strings.Join(lines, "|"), at(2019, i))
		w.new("import_row", 1, `{"mails": ["`+strings.Join(lines, `","`)+`"]}`, at(2019, i))
	}
	w.new("import_row", 1, "ann_bk@mail.example,ann_b\u212A@mail.example,annxbk@mail.example", at(2019, 1))
	w.new("import_row", 1, "nobody", at(2019, 1))
	w.new("import_row", 2, "ann@x.org", at(2019, 1))
	// A bulk mail that answers a personal one of the first person, and one that answers it to the second.
	w.mail(person{site: 1, email1: "?"}, "bulk", "news@acme.example", "all@acme.example", nil, 1)
	w.mail(person{site: 1, email1: "?"}, "personal", "news@acme.example", "Joann <JOANN@x.org>, x@y.z", nil, 2)
}

// shared documents.
func (w *world) shared() {
	for i, with := range [][]int{{1, 10}, {1}, {1, 42}, {10}, {1, 117}, {1}, {1, 1, 204}, {}, {10}, {}, {203, 301}} {
		id := w.newDocument(fmt.Sprintf("shared %d", i+1))
		for _, candidate := range with {
			w.new("document_share", id, candidate)
		}
	}
	w.add("joborder_document", 3, 6, nil)
	w.add("joborder_document", 3, 8, 117)
	w.add("joborder_document", 4, 8, 1)
	w.add("joborder_document", 4, 9, 10)
	for id := 20; id <= people; id++ {
		w.new("document_share", w.newDocument("of one"), id)
	}
}

func (w *world) newDocument(title string) int {
	id := w.next("document")
	folder, name := fmt.Sprintf("d%d", id%10), fmt.Sprintf("%d.pdf", id)
	w.add("document", id, title, folder, name)
	w.file(path.Join("shared", folder, name), "document "+title)
	return id
}

// threads of comments: one longer than any batch of levels, one that is a circle, and comments among those of others.
func (w *world) threads() {
	say := func(parent any, author string) int {
		return w.new("discussion_comment", 1, nil, nil, parent, author, "said so")
	}
	at := w.new("discussion_comment", 1, "candidate", "1", nil, "recruiter@acme.example", "a long thread")
	for range 80 {
		at = say(at, "recruiter@acme.example")
	}
	one := w.new("discussion_comment", 1, "candidate", "1", nil, "recruiter@acme.example", "a circle")
	two := say(one, "other@acme.example")
	w.late = append(w.late, fmt.Sprintf("UPDATE discussion_comment SET parent_id = %d WHERE comment_id = %d", two, one))
	vacancy := w.new("discussion_comment", 1, "joborder", "1", nil, "recruiter@acme.example", "a vacancy")
	mine := say(vacancy, "ANN@x.org")
	say(mine, "recruiter@acme.example")
	say(say(vacancy, "joann@x.org.au"), "other@acme.example")
	say(vacancy, "änn@x.org")
	w.new("discussion_comment", 2, "candidate", "330", nil, "ann@x.org", "another tenant")
}

// links between candidates.
func (w *world) links() {
	for _, pair := range [][2]int{{1, 10}, {1, 11}, {10, 1}, {117, 1}, {42, 204}, {11, 12}, {10, 11}, {100, 101}} {
		w.add("duplicate_suggestion", pair[0], pair[1], 90)
	}
	for _, pair := range [][2]any{{1, 50}, {117, 51}, {10, 52}, {60, 1}, {61, 10}, {62, 63}, {nil, 203}, {203, 64}, {1, 117}} {
		w.new("referral", pair[0], pair[1], "100.00")
	}
	// A person of site 1 with the addresses of nobody.
	w.new("job_alert", 1, "änn@x.org.example", "none")
}
