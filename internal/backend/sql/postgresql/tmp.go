package postgresql

import (
	"github.com/lethe-dev/lethe/internal/backend"
	core "github.com/lethe-dev/lethe/internal/backend/sql"
)

func TmpCompile(req backend.ResolveRequest) []core.Statement {
	f := core.Tables{}
	for _, q := range req.Queries {
		f[q.Table] = core.Facts{"id": {Type: "bigint", Stored: "bigint", Category: "N", NotNull: true}, "person_id": {Type: "bigint", Category: "N"}, "c1_id": {Type: "bigint", Category: "N"}, "email": {Type: "text", Category: "S"}}
	}
	c := core.Compiler{Dialect: dialect{schema: "public"}, Tables: f, BatchSize: 1000}
	s, err := c.Resolve(req)
	if err != nil {
		panic(err)
	}
	return s
}
