package mysql_test

import (
	"testing"

	"github.com/lethe-dev/lethe/internal/backend/backendtest"
)

func FuzzIdentities(f *testing.F) { backendtest.FuzzIdentities(f, newDatabase(f)) }

func FuzzConditions(f *testing.F) { backendtest.FuzzConditions(f, newDatabase(f)) }
