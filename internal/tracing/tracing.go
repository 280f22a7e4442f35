// Package tracing makes spans of what a run does. It is off until Use is called, and costs next to nothing then.
//
// Spans hold names of namespaces, stores and steps, counts, and the random ids that the ledger has; never a key, a value or the text
// of a store's error.
package tracing

import (
	"context"
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/lethe-dev/lethe/internal/fault"
)

// Keys of attributes.
const (
	Namespace = "lethe.namespace"
	Run       = "lethe.run"
	Handle    = "lethe.handle"
	Store     = "lethe.store"
	Step      = "lethe.step"
	Reason    = "lethe.reason"
	Records   = "lethe.records"
	Entries   = "lethe.entries"
)

// scope names the spans' maker.
const scope = "github.com/lethe-dev/lethe"

var tracer atomic.Pointer[trace.Tracer]

// Use has spans made by a provider; nil turns that off again.
func Use(provider trace.TracerProvider) {
	if provider == nil {
		tracer.Store(nil)
		return
	}
	t := provider.Tracer(scope)
	tracer.Store(&t)
}

// Span is a span, or nothing while tracing is off.
type Span struct{ span trace.Span }

// Start begins a span below that of the context. Attributes are pairs of a key and a text.
func Start(ctx context.Context, name string, attributes ...string) (context.Context, Span) {
	t := tracer.Load()
	if t == nil {
		return ctx, Span{}
	}
	kv := make([]attribute.KeyValue, 0, len(attributes)/2)
	for i := 0; i+1 < len(attributes); i += 2 {
		if attributes[i+1] != "" {
			kv = append(kv, attribute.String(attributes[i], attributes[i+1]))
		}
	}
	ctx, span := (*t).Start(ctx, name, trace.WithAttributes(kv...))
	return ctx, Span{span: span}
}

// Count adds a number to the span.
func (s Span) Count(key string, n int64) {
	if s.span != nil {
		s.span.SetAttributes(attribute.Int64(key, n))
	}
}

// End ends the span. Of an error it shows the reason that everybody may see.
func (s Span) End(err error) {
	if s.span == nil {
		return
	}
	if err != nil {
		reason, _ := fault.Public(err)
		s.span.SetAttributes(attribute.String(Reason, reason))
		s.span.SetStatus(codes.Error, reason)
	}
	s.span.End()
}
