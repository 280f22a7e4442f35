package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	_ "embed"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"
)

//go:embed schema.sql
var schema string

const vacancyCount = 60

// seeder fills a new system. The first error ends all further work and is reported at the end.
type seeder struct {
	ctx        context.Context
	tx         *sql.Tx
	statements map[string]*sql.Stmt
	storage    string
	rng        *rand.Rand
	next       map[string]int
	rows       int
	files      int
	err        error
}

// seed makes the database and the files of a new system.
func seed(ctx context.Context, data string, applicants int) error {
	if err := os.MkdirAll(data, 0o755); err != nil {
		return err
	}
	db, err := openDatabase(filepath.Join(data, databaseName), false)
	if err != nil {
		return err
	}
	defer db.Close()
	if _, err := db.ExecContext(ctx, schema); err != nil {
		return fmt.Errorf("schema: %w", err)
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	s := &seeder{
		ctx: ctx, tx: tx, statements: map[string]*sql.Stmt{}, storage: filepath.Join(data, storageName),
		rng: rand.New(rand.NewPCG(1, 2)), next: map[string]int{},
	}
	s.company()
	for number := 1; number <= applicants && s.err == nil; number++ {
		s.applicant(cast(crowd(s.rng, number)))
	}
	if s.err != nil {
		return s.err
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	fmt.Fprintf(os.Stdout, "%d applicants, %d rows, %d files\n", applicants, s.rows, s.files)
	return nil
}

// insert adds a row with a value for every column.
func (s *seeder) insert(table string, values ...any) {
	if s.err != nil {
		return
	}
	statement := s.statements[table]
	if statement == nil {
		text := "INSERT INTO " + quote(table) + " VALUES (?" + strings.Repeat(", ?", len(values)-1) + ")"
		if statement, s.err = s.tx.PrepareContext(s.ctx, text); s.err != nil {
			return
		}
		s.statements[table] = statement
	}
	if _, err := statement.ExecContext(s.ctx, values...); err != nil {
		s.err = fmt.Errorf("%s: %w", table, err)
	}
	s.rows++
}

// file writes a small file below the storage folder.
func (s *seeder) file(content string, path ...string) {
	if s.err != nil {
		return
	}
	name := filepath.Join(append([]string{s.storage}, path...)...)
	if s.err = os.MkdirAll(filepath.Dir(name), 0o755); s.err == nil {
		s.err = os.WriteFile(name, []byte(content), 0o644)
	}
	s.files++
}

// number counts up per kind, for ids.
func (s *seeder) number(kind string) int {
	s.next[kind]++
	return s.next[kind]
}

func (s *seeder) id(kind string) string { return fmt.Sprintf("%s-%06d", kind, s.number(kind)) }

// company makes what holds no applicant's data: tenants, users, vacancies and their statistics.
func (s *seeder) company() {
	for _, tenant := range []string{ownTenant, otherTenant} {
		s.insert("tenants", tenant, strings.ToUpper(tenant[:1])+tenant[1:]+" Ltd")
		for i, role := range []string{"admin", "recruiter", "recruiter", "hiring-manager"} {
			s.insert("users", userID(tenant, i), tenant, fmt.Sprintf("%s.%d@%s.example", role, i, tenant),
				pick(s.rng, firstNames)+" "+pick(s.rng, lastNames), role)
		}
		for i := range vacancyCount {
			opened := today.AddDate(0, 0, -s.rng.IntN(1000)-30)
			var ended any
			if i%3 == 0 {
				ended = stamp(opened.AddDate(0, 0, 25))
			}
			s.insert("vacancies", vacancyID(tenant, i), tenant, pick(s.rng, jobTitles), pick(s.rng, cities), stamp(opened), ended, nil)
			firstMonth := opened.AddDate(0, 0, 1-opened.Day())
			for month := range 4 {
				s.insert("vacancy_statistics", vacancyID(tenant, i), firstMonth.AddDate(0, month, 0).Format("2006-01"),
					s.rng.IntN(80), 10+40*s.rng.Float64())
			}
		}
	}
}

func userID(tenant string, n int) string    { return fmt.Sprintf("usr-%s-%d", tenant, n) }
func vacancyID(tenant string, n int) string { return fmt.Sprintf("vac-%s-%03d", tenant, n) }

func (s *seeder) user(tenant string) string { return userID(tenant, s.rng.IntN(4)) }

// applicant makes all the rows and files of one person.
func (s *seeder) applicant(p profile) {
	birth := time.Date(1960+s.rng.IntN(45), time.Month(1+s.rng.IntN(12)), 1+s.rng.IntN(28), 0, 0, 0, 0, time.UTC)
	s.insert("applicants", p.id(), p.tenant, p.email, p.fullName(), fmt.Sprintf("+00 555 %07d", p.number), day(birth),
		pick(s.rng, cities), "https://people.example.com/"+p.id(), p.status, 1, p.referredBy, stamp(p.createdAt))
	s.insert("consents", s.id("con"), p.tenant, strings.ToLower(p.email), fmt.Sprintf("192.0.2.%d", 1+s.rng.IntN(254)),
		"application", "given", stamp(p.createdAt), stamp(p.createdAt.AddDate(2, 0, 0)))
	for range 1 + s.rng.IntN(2) {
		s.note(p, "applicant", p.id())
	}
	vacancies := s.rng.Perm(vacancyCount)
	for i, stage := range p.stages {
		s.application(p, vacancyID(p.tenant, vacancies[i]), stage)
	}
	s.mail(p)
	s.documents(p)
	s.conversation(p)
	s.talent(p, vacancies[len(p.stages):])
}

func (s *seeder) note(p profile, itemType, itemID string) {
	s.insert("notes", s.number("note"), itemType, itemID, s.user(p.tenant), p.firstName+": "+pick(s.rng, noteTexts), stamp(p.createdAt))
}

// application makes one application and all that came of it.
func (s *seeder) application(p profile, vacancy, stage string) {
	id := s.id("apl")
	applied := p.createdAt.AddDate(0, 0, s.rng.IntN(30))
	var ended any
	if closed(stage) {
		ended = stamp(applied.AddDate(0, 0, 14+s.rng.IntN(20)))
	}
	s.insert("applications", id, p.id(), vacancy, stage, "Dear team, I am "+p.fullName()+" and I would like to join.", stamp(applied), ended)
	s.insert("application_fingerprints", vacancy, fingerprint(vacancy, p.email))
	s.note(p, "application", id)
	s.insert("clarification_requests", s.number("clarification"), id, pick(s.rng, questions), "Yes, "+p.firstName, stamp(applied))
	if stage == "applied" || stage == "screening" {
		return
	}
	s.insert("evaluations", s.number("evaluation"), id, s.user(p.tenant), 1+s.rng.IntN(5), p.firstName+": "+pick(s.rng, evaluationTexts),
		stamp(applied.AddDate(0, 0, 9)))
	s.insert("appointment_bookings", s.number("booking"), id, stamp(applied.AddDate(0, 0, 8)), "Room "+pick(s.rng, cities))
	interview := s.id("int")
	s.insert("interviews", interview, id, stamp(applied.AddDate(0, 0, 8)), "Interviewer: Welcome, "+p.firstName+". ...", interview)
	s.file("A recording of "+p.fullName()+".\n", "recordings", interview, "audio.ogg")
	s.file("WEBVTT\n\n00:00.000 --> 00:02.000\nWelcome, "+p.firstName+".\n", "recordings", interview, "captions.vtt")
}

// fingerprint is a keyed hash; the key of a real system is kept away from its database.
func fingerprint(vacancy, email string) string {
	mac := hmac.New(sha256.New, []byte("the application's own secret"))
	mac.Write([]byte(vacancy + "\x00" + strings.ToLower(email)))
	return hex.EncodeToString(mac.Sum(nil))
}

// mail makes the letters to and from the person; the first one came before there was an applicant.
func (s *seeder) mail(p profile) {
	office := "jobs@" + p.tenant + ".example"
	for i := range 3 + s.rng.IntN(3) {
		id := s.id("msg")
		from, to, applicant := office, p.email, any(p.id())
		if i%2 == 0 {
			from, to = strings.ToLower(p.email), office
		}
		if i == 0 {
			applicant = nil
		}
		sent := p.createdAt.AddDate(0, 0, i)
		s.insert("messages", id, p.tenant, applicant, from, to, pick(s.rng, mailSubjects), "Hello, this is about "+p.fullName()+".", stamp(sent))
		if i != 0 && i != 3 {
			continue
		}
		folder, name := sent.Format("2006/01"), id+"-letter.txt"
		s.insert("message_attachments", s.number("attachment"), id, folder, name)
		s.file("A letter that "+p.fullName()+" attached.\n", "mail", folder, name)
	}
}

// documents makes the person's files: what everybody has, and what the law wants to be kept.
func (s *seeder) documents(p profile) {
	add := func(kind string, issued, contractEnd any) {
		id := s.id("doc")
		folder, name := p.tenant+"/"+p.id(), kind+"-"+id+".txt"
		s.insert("documents", id, p.id(), kind, issued, contractEnd, folder, name)
		s.file("The "+kind+" of "+p.fullName()+".\n", "documents", folder, name)
	}
	add("resume", nil, nil)
	add("certificate", day(p.createdAt.AddDate(-1, 0, 0)), nil)
	if p.travelInvoice != nil {
		add("travel-invoice", p.travelInvoice, nil)
	}
	if p.contractEnd != nil {
		add("contract", day(p.createdAt), p.contractEnd)
	}
}

func (s *seeder) conversation(p profile) {
	if !p.talksBot {
		return
	}
	id := s.id("cnv")
	s.insert("ai_conversations", id, p.id(), pick(s.rng, conversationTopics), stamp(p.createdAt))
	for position := range 4 {
		role, content := "applicant", "I am "+p.fullName()+", may I ask something?"
		if position%2 == 1 {
			role, content = "assistant", "Of course, "+p.firstName+"."
		}
		s.insert("ai_messages", id, position, role, content)
	}
}

func (s *seeder) talent(p profile, vacancies []int) {
	if !p.inTalentPool {
		return
	}
	id := s.id("tal")
	s.insert("talent_pool", id, p.id(), pick(s.rng, interests), stamp(p.createdAt))
	for _, vacancy := range vacancies[:2] {
		s.insert("candidate_matches", id, vacancyID(p.tenant, vacancy), pick(s.rng, []string{"found", "invited", "removed"}), stamp(p.createdAt))
	}
}
