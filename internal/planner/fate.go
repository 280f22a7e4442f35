package planner

import (
	"time"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/backend"
)

// Fate is what an erasure does with one record of the subject.
type Fate struct {
	// Entity as map/entity, Key of the record.
	Entity string
	Key    backend.Key
	// Action on it: Delete, or the Anonymize or Mark of the map. Keep for what the map keeps. Where something keeps it for now, it is
	// the action on it afterwards.
	Action v1alpha1.EntityAction
	// Shared is true where it stays because records that are not the subject's refer to it.
	Shared bool
	// Basis says why it is kept at first; empty where it is not.
	Basis string
	// Needed is true where it is kept at first only because records that refer to it are.
	Needed bool
	// Until is when what keeps it ends by itself; zero where it does not, or where nothing keeps it.
	Until time.Time
	// Holds are the names of the legal holds that keep it.
	Holds []string
}

// Fates tells, record by record, what an erasure at a time does. Records that are gone, or outside its scope, are left out.
func (g *Graph) Fates(f *Facts, holds []Hold, now time.Time) []Fate {
	p := g.partition(f, holds, now)
	names := map[string]string{}
	for _, h := range holds {
		names[h.UID] = h.Name
	}
	var out []Fate
	for _, e := range g.entities {
		for _, s := range p.states[e] {
			if s.fate == fateOutside || s.fate == fateAbsent || s.row.Gone {
				continue
			}
			fate := Fate{Entity: e.name, Key: s.row.Key, Action: e.spec.Action, Shared: s.fate == fateShared}
			switch s.fate {
			case fateKeep:
				fate.Basis = e.spec.LegalBasis
			case fateRetain, fatePin:
				fate.Basis, fate.Needed, fate.Until = s.basis(), s.fate == fatePin, s.release.until
				for _, uid := range s.release.uids {
					fate.Holds, fate.Until = append(fate.Holds, names[uid]), time.Time{}
				}
			}
			out = append(out, fate)
		}
	}
	return out
}
