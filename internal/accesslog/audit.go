// Package accesslog takes in the audit events of an API server, so that who read Lethe's objects with kubectl is in the ledger as who
// used the operator's own doors is.
package accesslog

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/go-logr/logr"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/ledger"
	"github.com/lethe-dev/lethe/internal/stamp"
)

const (
	// maxBatch bounds what an API server sends at once. Its own default is 400 events; with the bodies of objects, which are not
	// looked at, they may be long.
	maxBatch = 64 << 20
	// decision is the annotation by which the API server's authorizer tells what it decided.
	decision, allow = "authorization.k8s.io/decision", "allow"
)

// Handler is the backend of an API server's audit webhook (audit.k8s.io/v1, as `--audit-webhook-config-file` sends it). Whoever may send
// is asked before, by whoever serves it.
type Handler struct {
	// Record appends entries to the ledger of a namespace, durably; those whose key it has already are not added again.
	Record func(ctx context.Context, namespace string, entries []ledger.Entry) error
	// Actor names a user as the policy of a namespace allows.
	Actor func(ctx context.Context, namespace, user string, groups []string) (stamp.Actor, error)
	// Exists tells whether a namespace is there, or has been. Anybody may ask the API server for objects of others, and is on record
	// for it; that must not begin a ledger, and make a key, for each name that somebody thinks of.
	Exists func(ctx context.Context, namespace string) (bool, error)
	// Operator is the namespace whose ledger has what was done in all namespaces at once, or in none.
	Operator string
	// Self tells the operator itself, whose own work is not access.
	Self func(user string) bool
	Log  logr.Logger
}

// ServeHTTP answers 200 once all events are in the ledger. The API server sends them again otherwise.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "audit events are POSTed", http.StatusMethodNotAllowed)
		return
	}
	var list auditv1.EventList
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBatch)).Decode(&list); err != nil {
		status := http.StatusBadRequest
		var long *http.MaxBytesError
		switch {
		case errors.As(err, &long):
			status = http.StatusRequestEntityTooLarge
		case errors.Is(err, io.ErrUnexpectedEOF) && r.Context().Err() != nil:
			status = http.StatusRequestTimeout
		}
		http.Error(w, "not an EventList of audit.k8s.io/v1", status)
		return
	}
	if list.APIVersion != auditv1.SchemeGroupVersion.String() || list.Kind != "EventList" {
		http.Error(w, "an EventList of "+auditv1.SchemeGroupVersion.String()+" is wanted", http.StatusBadRequest)
		return
	}
	if err := h.take(r.Context(), list.Items); err != nil {
		h.Log.Error(err, "audit events are not in the ledger; the API server sends them again for a while")
		http.Error(w, "the ledger takes no entry at the moment", http.StatusServiceUnavailable)
	}
}

func (h *Handler) take(ctx context.Context, events []auditv1.Event) error {
	entries := map[string][]ledger.Entry{}
	for i := range events {
		namespace, entry, err := h.entry(ctx, &events[i])
		if err != nil {
			return err
		}
		if entry == nil {
			continue
		}
		if _, err := ledger.EncodeLeaf(*entry); err != nil {
			// One that is never taken must not keep those behind it.
			h.Log.Error(err, "an audit event has no place in the ledger", "key", entry.Key)
			continue
		}
		entries[namespace] = append(entries[namespace], *entry)
	}
	for namespace, list := range entries {
		if err := h.Record(ctx, namespace, list); err != nil {
			return err
		}
	}
	return nil
}

// entry is what the ledger gets of an event, if anything. Names of objects and request URIs are left out: they may hold what names a
// person.
func (h *Handler) entry(ctx context.Context, e *auditv1.Event) (string, *ledger.Entry, error) {
	if !h.concerns(e) {
		return "", nil, nil
	}
	ref := e.ObjectRef
	namespace, scope, err := h.place(ctx, ref.Namespace)
	if err != nil {
		return "", nil, err
	}
	who, through := e.User, ""
	if e.ImpersonatedUser != nil {
		who, through = *e.ImpersonatedUser, e.User.Username
	}
	actor, err := h.Actor(ctx, namespace, who.Username, who.Groups)
	if err != nil {
		return "", nil, err
	}
	resource := ref.Resource
	if ref.Subresource != "" {
		resource += "/" + ref.Subresource
	}
	entry := &ledger.Entry{Key: key(e), Time: e.StageTimestamp.Time, Kind: ledger.KindAccessObserved, Actor: actor.User, Reason: verdict(e),
		Attributes: map[string]string{"permission": e.Verb, "resource": resource, "endpoint": "kubernetes",
			"requestedAt": e.RequestReceivedTimestamp.UTC().Format(time.RFC3339)}}
	if e.ResponseStatus != nil {
		entry.Attributes["code"] = strconv.Itoa(int(e.ResponseStatus.Code))
	}
	if ref.UID != "" {
		entry.Attributes["uid"] = string(ref.UID)
	}
	if scope != "" {
		entry.Attributes["scope"] = scope
	}
	if len(actor.Groups) > 0 {
		entry.Attributes[ledger.AttributeGroups] = ledger.GroupList(actor.Groups)
	}
	if through != "" {
		by, err := h.Actor(ctx, namespace, through, nil)
		if err != nil {
			return "", nil, err
		}
		entry.Attributes[ledger.AttributeImpersonator] = by.User
	}
	return namespace, entry, nil
}

// place is whose ledger an access to a namespace belongs in, and what is said of it if that is the operator's.
func (h *Handler) place(ctx context.Context, namespace string) (origin, scope string, err error) {
	if namespace == "" {
		return h.Operator, "cluster", nil
	}
	there := ledger.CheckOrigin(namespace) == nil
	if there {
		there, err = h.Exists(ctx, namespace)
	}
	if err != nil || there {
		return namespace, "", err
	}
	return h.Operator, "nowhere", nil
}

// key is the same for an event that is sent again, and for no other. The audit ID alone is not: it is whatever the client says it is, so
// that somebody could hide an access behind one that is on record, or behind an ID that is too long for one.
func key(e *auditv1.Event) string {
	ref := e.ObjectRef
	sum := sha256.New()
	for _, part := range []string{string(e.AuditID), string(e.Stage), e.RequestURI, e.Verb, e.User.Username, ref.Namespace, ref.Resource, ref.Subresource, ref.Name,
		e.RequestReceivedTimestamp.UTC().Format(time.RFC3339Nano), e.StageTimestamp.UTC().Format(time.RFC3339Nano)} {
		_, _ = fmt.Fprintf(sum, "%d:%s", len(part), part)
	}
	return "audit/" + hex.EncodeToString(sum.Sum(nil))
}

// concerns tells whether an event is of an access to Lethe's objects that has been answered; who was told to come again later was not.
// Somebody who acts under the operator's name is not the operator.
func (h *Handler) concerns(e *auditv1.Event) bool {
	answered := e.Stage == auditv1.StageResponseComplete || e.Stage == auditv1.StagePanic
	later := e.ResponseStatus != nil && e.ResponseStatus.Code == http.StatusTooManyRequests
	self := e.ImpersonatedUser == nil && h.Self(e.User.Username)
	return e.ObjectRef != nil && e.ObjectRef.APIGroup == v1alpha1.GroupVersion.Group && answered && !later && !self
}

// verdict is what the API server's authorizer decided, or, where a policy leaves that out, what the answer says.
func verdict(e *auditv1.Event) string {
	said, has := e.Annotations[decision]
	refused := e.ResponseStatus != nil && (e.ResponseStatus.Code == http.StatusForbidden || e.ResponseStatus.Code == http.StatusUnauthorized)
	if has && said != allow || !has && refused {
		return ledger.ReasonDenied
	}
	return ledger.ReasonGranted
}
