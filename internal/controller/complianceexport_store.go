package controller

import (
	"context"
	"errors"

	"github.com/lethe-dev/lethe/internal/export"
)

func (w *exportWork) storePath() string { return "" }

func (w *exportWork) writeToStore(context.Context, *export.Head) (made, error) {
	return made{}, errors.New("not yet")
}

func (w *exportWork) removeFromStore(context.Context) error { return nil }
