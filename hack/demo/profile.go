package main

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// today of the sample data is fixed: the same data on every run.
var today = time.Date(2026, time.June, 1, 9, 0, 0, 0, time.UTC)

const (
	ownTenant   = "acme"
	otherTenant = "globex"
)

// The people of the story, by their number. The rest is the crowd that must not change.
const (
	erasedNow       = 101
	referredByThem  = 102
	inGracePeriod   = 202
	inProcess       = 303
	withTaxDocument = 404
	underLegalHold  = 606
	sameAddress     = 909
)

// profile is one applicant before it becomes rows.
type profile struct {
	number                 int
	tenant                 string
	firstName, lastName    string
	email                  string
	status                 string
	referredBy             any
	createdAt              time.Time
	stages                 []string
	inTalentPool, talksBot bool
	travelInvoice          any
	contractEnd            any
}

func (p profile) id() string       { return applicantID(p.number) }
func (p profile) fullName() string { return p.firstName + " " + p.lastName }

func applicantID(number int) string { return fmt.Sprintf("app-%06d", number) }

// crowd makes a random applicant.
func crowd(rng *rand.Rand, number int) profile {
	p := profile{
		number: number, tenant: ownTenant, status: "active",
		firstName: pick(rng, firstNames), lastName: pick(rng, lastNames),
		createdAt:    today.AddDate(0, 0, -rng.IntN(900)-60).Add(time.Duration(rng.IntN(36000)) * time.Second),
		inTalentPool: rng.IntN(4) == 0,
		talksBot:     rng.IntN(3) == 0,
	}
	if rng.IntN(10) < 3 {
		p.tenant = otherTenant
	}
	p.email = fmt.Sprintf("%s.%s.%d@%s", strings.ToLower(p.firstName), strings.ToLower(p.lastName), number,
		pick(rng, []string{"example.com", "example.org"}))
	if number > 1 && rng.IntN(20) == 0 {
		p.referredBy = applicantID(1 + rng.IntN(number-1))
	}
	for range 1 + rng.IntN(2) {
		p.stages = append(p.stages, pick(rng, []string{"applied", "screening", "interview", "offer", "rejected", "rejected", "withdrawn"}))
	}
	if rng.IntN(12) == 0 {
		p.travelInvoice = day(p.createdAt.AddDate(0, 0, 20))
	}
	if rng.IntN(15) == 0 {
		p.status = "hired"
		p.stages[0] = "hired"
		p.contractEnd = day(p.createdAt.AddDate(2, 0, 0))
	}
	return p
}

// cast turns some of the crowd into the people of the story.
func cast(p profile) profile {
	star := func(firstName, lastName, email string, stages ...string) profile {
		q := p
		q.tenant, q.firstName, q.lastName, q.email = ownTenant, firstName, lastName, email
		q.status, q.stages = "active", stages
		q.referredBy, q.travelInvoice, q.contractEnd = nil, nil, nil
		q.inTalentPool, q.talksBot = true, true
		return q
	}
	switch p.number {
	case erasedNow:
		return star("Lena", "Novakova", "Lena.Novakova@example.com", "rejected", "withdrawn")
	case referredByThem:
		p.tenant, p.referredBy = ownTenant, applicantID(erasedNow)
	case inGracePeriod:
		return star("Amir", "Haddadi", "amir.haddadi@example.org", "rejected")
	case inProcess:
		return star("Sofia", "Lindgreen", "sofia.lindgreen@example.com", "rejected", "interview")
	case withTaxDocument:
		p = star("Jonas", "Webermann", "jonas.webermann@example.org", "rejected")
		p.travelInvoice = "2025-03-14"
	case underLegalHold:
		return star("Mila", "Torvalsen", "mila.torvalsen@example.com", "rejected")
	case sameAddress:
		p.tenant, p.email = otherTenant, "lena.novakova@example.com"
	}
	return p
}

func pick[T any](rng *rand.Rand, from []T) T { return from[rng.IntN(len(from))] }

func day(t time.Time) string   { return t.Format(time.DateOnly) }
func stamp(t time.Time) string { return t.Format(time.RFC3339) }

// closed tells whether an application in this stage has ended.
func closed(stage string) bool {
	return stage == "hired" || stage == "rejected" || stage == "withdrawn"
}
