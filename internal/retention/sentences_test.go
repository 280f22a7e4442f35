package retention

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/backend"
	"github.com/lethe-dev/lethe/internal/planner"
)

// preset is the recruiting preset of config/samples.
type preset struct {
	*testing.T
	maps     []planner.MapSource
	policies map[string]v1alpha1.RetentionPolicySpec
	data     memory
}

func newPreset(t *testing.T) *preset {
	t.Helper()
	p := &preset{T: t, policies: map[string]v1alpha1.RetentionPolicySpec{}, data: memory{}}
	for _, text := range documents(t, "personaldatamap_preset.yaml") {
		var m v1alpha1.PersonalDataMap
		if err := yaml.UnmarshalStrict(text, &m); err != nil {
			t.Fatal(err)
		}
		p.maps = append(p.maps, planner.MapSource{Name: m.Name, UID: "1", Generation: 1, Spec: m.Spec})
	}
	for _, text := range documents(t, "retentionpolicy_preset.yaml") {
		var r v1alpha1.RetentionPolicy
		if err := yaml.UnmarshalStrict(text, &r); err != nil {
			t.Fatal(err)
		}
		p.policies[r.Name] = r.Spec
	}
	return p
}

func documents(t *testing.T, sample string) [][]byte {
	t.Helper()
	text, err := os.ReadFile("../../config/samples/" + sample)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Split(text, []byte("\n---\n"))
}

// compile makes the rules of a policy; it must have no problem.
func (p *preset) compile(policy string) *Rules {
	p.Helper()
	rules, problems := Compile(p.policies[policy], p.maps)
	if len(problems) > 0 {
		p.Fatal(problems)
	}
	return rules
}

// rule finds a rule of the preset.
func (p *preset) rule(name string) (policy string, r *v1alpha1.RetentionRule) {
	p.Helper()
	for policy, spec := range p.policies {
		for i := range spec.Rules {
			if spec.Rules[i].Name == name {
				return policy, &spec.Rules[i]
			}
		}
	}
	p.Fatal("no rule " + name)
	return "", nil
}

func (p *preset) add(table string, columns ...string) row {
	r := row{}
	for _, c := range columns {
		name, value, _ := strings.Cut(c, "=")
		r[name] = value
	}
	p.data[backend.Table{Name: table}] = append(p.data[backend.Table{Name: table}], r)
	return r
}

// at reads a date or a time.
func at(text string) time.Time {
	if !strings.Contains(text, "T") {
		text += "T00:00:00Z"
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		panic(err)
	}
	return t
}

// goes holds that the record goes by the rule at that very second and not before.
func (p *preset) goes(rule, entity string, r row, when string) {
	p.Helper()
	p.stays(rule, entity, r, at(when).Add(-time.Second))
	if d, due := p.look(rule, entity, r, at(when)); !due || !d.Due.Equal(at(when)) || d.Deciding != "rule "+rule {
		p.Errorf("rule %s on %s: due at %s is %v: %+v", rule, r["id"], when, due, d)
	}
}

func (p *preset) stays(rule, entity string, r row, now time.Time) Decision {
	p.Helper()
	d, due := p.look(rule, entity, r, now)
	if due {
		p.Errorf("rule %s on %s: due at %s", rule, r["id"], now)
	}
	return d
}

// look asks sweep and decision, which must agree.
func (p *preset) look(rule, entity string, r row, now time.Time) (Decision, bool) {
	p.Helper()
	policy, _ := p.rule(rule)
	for _, target := range p.compile(policy).Of(rule) {
		if target.Entity != entity {
			continue
		}
		s, err := target.Explained(now, nil)
		if err != nil {
			p.Fatal(err)
		}
		d := Decide(target, p.data.explain(r, s), s, now)
		if due := p.data.due(r, s); due != d.IsDue(now) {
			p.Errorf("rule %s on %s at %s: due %v, decided %+v", rule, r["id"], now, due, d)
		}
		return d, p.data.due(r, s)
	}
	p.Fatalf("rule %s has no target %s", rule, entity)
	return Decision{}, false
}

// run applies one rule to all records.
func (p *preset) run(rule, now string) (keys []string) {
	p.Helper()
	policy, _ := p.rule(rule)
	for _, target := range p.compile(policy).Of(rule) {
		s, err := target.Sweep(at(now), at(now), nil)
		if err != nil {
			p.Fatal(err)
		}
		keys = append(keys, p.data.run(s)...)
	}
	return keys
}

// bounds holds the periods that are accepted and refused for a rule, with the reason.
func (p *preset) bounds(rule string, accepted, refused []string) {
	p.Helper()
	policy, r := p.rule(rule)
	for _, text := range slices.Concat(accepted, refused) {
		r.Period = text
		_, problems := Compile(p.policies[policy], p.maps)
		bad := slices.ContainsFunc(problems, func(pr Problem) bool { return pr.Rule == rule && pr.Reason == v1alpha1.ReasonPeriodOutOfRange })
		if bad != slices.Contains(refused, text) {
			p.Errorf("rule %s with %s: %v", rule, text, problems)
		}
	}
}

// The sentences of the product documents on retention. Those that need stores, notices or consent are tested where these are.
func TestProductSentences(t *testing.T) {
	sentences := map[string]func(p *preset){
		"Retaining candidate records is limited to a choice of three to six months": func(p *preset) {
			p.bounds("candidates", []string{"P3M", "P4M", "P6M", "P180D"}, []string{"P2M", "P89D", "P6M1D", "P1Y", "P183D", "P26W"})
			_, r := p.rule("candidates")
			r.Period = "P3M"
			p.goes("candidates", "candidates", p.add("candidates", "id=c1", "found_at=2024-11-30T10:00:00Z", "status=New"), "2025-03-01")
			p.goes("candidates", "candidates", p.add("candidates", "id=c2", "found_at=2025-01-15T10:00:00Z", "status=New"), "2025-04-15T10:00:00Z")
		},
		"Candidate records that are marked as Invited or as Applied are retained regardless of the limit": func(p *preset) {
			for _, status := range []string{"Invited", "Applied"} {
				c := p.add("candidates", "id="+status, "found_at=2015-01-01T00:00:00Z", "status="+status)
				if d := p.stays("candidates", "candidates", c, at("2025-01-01")); d.Deciding != "unless status" || !d.Due.IsZero() {
					p.Errorf("%+v", d)
				}
			}
		},
		"If Candidates are removed, they are not removed from the Talent pool": func(p *preset) {
			p.add("talent_pool", "id=t1", "applicant_id=a1", "registered_at=2024-10-01T00:00:00Z")
			p.add("candidates", "id=c1", "talent_pool_id=t1", "found_at=2024-10-01T00:00:00Z", "status=New")
			if got := p.run("candidates", "2025-01-01"); len(got) != 1 || len(p.data[backend.Table{Name: "candidates"}]) != 0 || len(p.data[backend.Table{Name: "talent_pool"}]) != 1 {
				p.Errorf("%v, left %v", got, p.data)
			}
		},
		"People who register against a talent pool vacancy can be retained for between six months and three years from the point of their registration": func(p *preset) {
			p.bounds("talent-pool", []string{"P6M", "P1Y", "P36M", "P3Y"}, []string{"P5M", "P180D", "P3Y1D", "P1097D"})
			_, r := p.rule("talent-pool")
			r.Period = "P3Y"
			p.goes("talent-pool", "talent-pool", p.add("talent_pool", "id=t1", "registered_at=2024-02-29T08:00:00Z"), "2027-03-01")
		},
		"Vacancies are archived after they've been closed for a specified period of time between three months and a year": func(p *preset) {
			p.bounds("vacancies-archived", []string{"P3M", "P1Y"}, []string{"P2M", "P1Y1D"})
			_, r := p.rule("vacancies-archived")
			r.Period = "P3M"
			v := p.add("vacancies", "id=v1", "closed_at=2024-01-15T00:00:00Z")
			open := p.add("vacancies", "id=v2")
			p.goes("vacancies-archived", "vacancies", v, "2024-04-15")
			if d := p.stays("vacancies-archived", "vacancies", open, at("2034-01-01")); !d.Due.IsZero() {
				p.Errorf("a vacancy that is open: %+v", d)
			}
			if p.run("vacancies-archived", "2024-04-20"); v["archived_at"] != "2024-04-20T00:00:00Z" {
				p.Errorf("archived: %v", v)
			}
			if again := p.run("vacancies-archived", "2024-05-20"); len(again) != 0 {
				p.Errorf("archived again: %v", again)
			}
		},
		"Archived vacancies can then be retained for a period of three months to three years after they've been archived": func(p *preset) {
			p.bounds("vacancies-removed", []string{"P3M", "P3Y"}, []string{"P2M", "P3Y1D"})
			_, r := p.rule("vacancies-removed")
			r.Period = "P1Y"
			p.goes("vacancies-removed", "vacancies", p.add("vacancies", "id=v1", "closed_at=2020-01-01T00:00:00Z", "archived_at=2024-04-20T00:00:00Z"), "2025-04-20")
			if d := p.stays("vacancies-removed", "vacancies", p.add("vacancies", "id=v2", "closed_at=2020-01-01T00:00:00Z"), at("2030-01-01")); !d.Due.IsZero() {
				p.Errorf("a vacancy that was not archived: %+v", d)
			}
		},
		"Applicants are then retained for a further period of three months to three years after the archived vacancies have been removed": func(p *preset) {
			p.bounds("applicants-removed", []string{"P3M", "P3Y"}, []string{"P2M", "P3Y1D"})
			_, r := p.rule("applicants-removed")
			r.Period = "P1Y"
			p.add("vacancies", "id=v1", "closed_at=2020-01-01T00:00:00Z", "archived_at=2024-04-20T00:00:00Z", "removed_at=2025-04-21T02:30:00Z")
			p.add("vacancies", "id=v2", "closed_at=2020-01-01T00:00:00Z", "archived_at=2024-04-20T00:00:00Z")
			p.goes("applicants-removed", "applications", p.add("applications", "id=b1", "vacancy_id=v1", "closed_at=2020-01-01T00:00:00Z"), "2026-04-21T02:30:00Z")
			if d := p.stays("applicants-removed", "applications", p.add("applications", "id=b2", "vacancy_id=v2", "closed_at=2020-01-01T00:00:00Z"), at("2040-01-01")); !d.Due.IsZero() {
				p.Errorf("the vacancy is still there: %+v", d)
			}
		},
		"At any time a recruiter can close or archive a vacancy early, after which the data retention policy for the following part of the overall policy applies": func(p *preset) {
			v := p.add("vacancies", "id=v1", "closed_at=2024-06-01T00:00:00Z", "archived_at=2024-06-02T09:00:00Z")
			p.goes("vacancies-removed", "vacancies", v, "2025-06-02T09:00:00Z")
			if again := p.run("vacancies-archived", "2024-12-01"); len(again) != 0 || v["archived_at"] != "2024-06-02T09:00:00Z" {
				p.Errorf("archived again: %v", v)
			}
			delete(v, "archived_at")
			v["closed_at"] = "2024-03-31T00:00:00Z" // closed two months early
			p.goes("vacancies-archived", "vacancies", v, "2024-07-01")
		},
		"In all circumstances where necessary, an anonymised version of an application will be retained until the policies finally remove all the data": func(p *preset) {
			p.add("vacancies", "id=v1", "closed_at=2024-01-01T00:00:00Z", "recruiter_email=r", "description=d")
			b := p.add("applications", "id=b1", "applicant_id=a1", "vacancy_id=v1", "closed_at=2024-01-01T00:00:00Z", "applied_at=2023-11-17T08:15:00Z", "cover_letter=text")
			p.run("vacancies-archived", "2024-04-01")
			p.run("applications-anonymised", "2024-07-01")
			if _, there := b["cover_letter"]; there || b["applied_at"] == "2023-11-17T08:15:00Z" || b["anonymised_at"] == "" {
				p.Errorf("not anonymised: %v", b)
			}
			p.run("vacancies-removed", "2025-04-01")
			if got := p.run("applicants-removed", "2026-03-31"); len(got) > 0 {
				p.Errorf("early: %v", got)
			}
			if got := p.run("applicants-removed", "2026-04-01"); !slices.Equal(got, []string{"b1"}) || len(p.data[backend.Table{Name: "applications"}]) > 0 {
				p.Errorf("not removed: %v", p.data)
			}
		},
		"Default periods after process end: contact data 6 months": func(p *preset) {
			a := p.add("applicants", "id=a1")
			p.add("applications", "id=b1", "applicant_id=a1", "closed_at=2024-05-10T00:00:00Z")
			p.add("applications", "id=b2", "applicant_id=a1", "closed_at=2024-08-31T12:00:00Z")
			p.goes("contact", "applicants", a, "2025-03-01")
		},
		"Default periods after process end: communication 6 months": func(p *preset) {
			p.add("applicants", "id=a1")
			p.add("applications", "id=b1", "applicant_id=a1", "closed_at=2024-05-10T00:00:00Z")
			p.goes("communication", "messages", p.add("messages", "id=m1", "applicant_id=a1"), "2024-11-10")
		},
		"Default periods after process end: documents 30 days": func(p *preset) {
			p.add("applicants", "id=a1")
			p.add("applications", "id=b1", "applicant_id=a1", "closed_at=2024-02-10T18:00:00Z")
			p.goes("documents", "documents", p.add("documents", "id=d1", "applicant_id=a1", "kind=resume"), "2024-03-11T18:00:00Z")
		},
		"Default periods after process end: notes 6 months": func(p *preset) {
			p.add("applicants", "id=a1")
			p.add("applications", "id=b1", "applicant_id=a1", "closed_at=2024-05-10T00:00:00Z")
			p.add("applications", "id=b2", "applicant_id=a1", "closed_at=2024-06-10T00:00:00Z")
			p.goes("notes", "applicant-notes", p.add("notes", "id=n1", "item_type=applicant", "item_id=a1"), "2024-12-10")
			p.goes("notes", "application-notes", p.add("notes", "id=n2", "item_type=application", "item_id=b1"), "2024-11-10")
		},
		"No applicant should be deleted before an active process is concluded": func(p *preset) {
			a := p.add("applicants", "id=a1")
			p.add("applications", "id=b1", "applicant_id=a1", "closed_at=2014-05-10T00:00:00Z")
			open := p.add("applications", "id=b2", "applicant_id=a1")
			d := p.stays("contact", "applicants", a, at("2034-01-01"))
			if d.Deciding != "process active in hiring/applications" || !d.Due.IsZero() {
				p.Errorf("%+v", d)
			}
			open["closed_at"] = "2034-01-01T00:00:00Z"
			p.goes("contact", "applicants", a, "2034-07-01")
		},
		"Tax-relevant documents: 10 years": func(p *preset) {
			p.add("applicants", "id=a1")
			p.add("applications", "id=b1", "applicant_id=a1", "closed_at=2024-05-10T00:00:00Z")
			held := p.add("documents", "id=d1", "applicant_id=a1", "kind=travel-invoice", "issued_at=2024-02-29T00:00:00Z")
			p.heldUntil(held, "hiring/documents/tax", "AO section 147: tax-relevant documents, 10 years", "2034-03-01")
		},
		"Contract documents: 6 years after contract end": func(p *preset) {
			p.add("applicants", "id=a1")
			p.add("applications", "id=b1", "applicant_id=a1", "closed_at=2024-05-10T00:00:00Z")
			held := p.add("documents", "id=d1", "applicant_id=a1", "kind=contract", "issued_at=2020-01-01T00:00:00Z", "contract_ends_at=2025-12-31T00:00:00Z")
			p.heldUntil(held, "hiring/documents/contract", "HGB section 257: contract documents, 6 years after the contract's end", "2031-12-31")
			running := p.add("documents", "id=d2", "applicant_id=a1", "kind=contract", "issued_at=2020-01-01T00:00:00Z")
			if d := p.stays("documents", "documents", running, at("2090-01-01")); !d.Due.IsZero() || d.Deciding != "statutory hold hiring/documents/contract" {
				p.Errorf("a contract without an end: %+v", d)
			}
		},
		"After the statutory period expires, automatic deletion is carried out": func(p *preset) {
			p.add("applicants", "id=a1")
			p.add("applications", "id=b1", "applicant_id=a1", "closed_at=2024-05-10T00:00:00Z")
			p.add("documents", "id=d1", "applicant_id=a1", "kind=travel-invoice", "issued_at=2024-05-10T00:00:00Z")
			if got := p.run("documents", "2034-05-09"); len(got) > 0 {
				p.Errorf("early: %v", got)
			}
			if got := p.run("documents", "2034-05-10"); !slices.Equal(got, []string{"d1"}) {
				p.Errorf("not deleted: %v", got)
			}
		},
	}
	for sentence, test := range sentences {
		t.Run(sentence, func(t *testing.T) { test(newPreset(t)) })
	}
}

// heldUntil holds that a document is kept by a law until a date, and goes then.
func (p *preset) heldUntil(r row, law, basis, until string) {
	p.Helper()
	d := p.stays("documents", "documents", r, at(until).Add(-time.Second))
	if d.Deciding != "statutory hold "+law || d.Basis != basis || !d.Until.Equal(at(until)) || !d.Due.Equal(at(until)) {
		p.Errorf("%+v", d)
	}
	if _, due := p.look("documents", "documents", r, at(until)); !due {
		p.Errorf("not due at %s", until)
	}
}

// TestTimelinesOfTheGuide holds the dates of docs/how-to/retention.md.
func TestTimelinesOfTheGuide(t *testing.T) {
	text, err := os.ReadFile("../../docs/how-to/retention.md")
	if err != nil {
		t.Fatal(err)
	}
	says := func(dates ...string) {
		t.Helper()
		for line := range strings.Lines(string(text)) {
			if slices.Equal(strings.Fields(line), dates) {
				return
			}
		}
		t.Errorf("no timeline has the dates %v", dates)
	}
	p := newPreset(t)
	stages := p.compile("vacancy-stages")
	chain := func(archivedEarly string) []string {
		p.data = memory{}
		v := p.add("vacancies", "id=v1", "closed_at=2026-01-15T00:00:00Z", "recruiter_email=r", "description=d")
		p.add("applications", "id=b1", "applicant_id=a1", "vacancy_id=v1", "closed_at=2026-01-15T00:00:00Z", "cover_letter=x")
		p.add("applicants", "id=a1")
		if archivedEarly != "" {
			v["archived_at"] = archivedEarly + "T00:00:00Z"
		}
		var dates []string
		for day := at("2026-01-15"); day.Before(at("2030-01-01")); day = day.AddDate(0, 0, 1) {
			for _, target := range stages.Targets[:4] {
				s, err := target.Sweep(day, day, nil)
				if err != nil {
					t.Fatal(err)
				}
				if len(p.data.run(s)) > 0 {
					dates = append(dates, day.Format(time.DateOnly))
				}
			}
		}
		return dates // archived, anonymised, removed, gone
	}
	d := chain("")
	if len(d) != 4 {
		t.Fatal(d)
	}
	says("2026-01-15", d[0], d[2], d[3])
	says("2026-01-15", d[1], d[3])
	if d = chain("2026-02-01"); len(d) != 3 {
		t.Fatal(d)
	}
	says("2026-01-15", "2026-02-01", d[1], d[2])

	p.data = memory{}
	p.add("applicants", "id=a1")
	p.add("applications", "id=b1", "applicant_id=a1", "closed_at=2026-01-15T00:00:00Z")
	cv := p.add("documents", "id=d1", "applicant_id=a1", "kind=resume")
	bill := p.add("documents", "id=d2", "applicant_id=a1", "kind=travel-invoice", "issued_at=2026-01-10T00:00:00Z")
	date := func(rule, entity string, r row) string {
		decided, _ := p.look(rule, entity, r, at("2026-01-16"))
		return decided.Due.Format(time.DateOnly)
	}
	says("2026-01-15", date("documents", "documents", cv), date("communication", "messages", p.add("messages", "id=m1", "applicant_id=a1")))
	says("2026-01-10", "2026-01-15", date("documents", "documents", cv), date("documents", "documents", bill))
}
