package property

import "fmt"

func (w *world) debug() string {
	s := fmt.Sprintf("subject %q tenants %v\n", w.subject, w.tenants)
	for i, tb := range w.tables {
		for _, r := range tb.rows {
			s += fmt.Sprintf("e%d %d:", i, r.rid)
			for _, c := range tb.columns {
				if v := r.v[c.name]; v != nil {
					s += fmt.Sprintf(" %s=%q", c.name, *v)
				}
			}
			s += "\n"
		}
	}
	return s
}
