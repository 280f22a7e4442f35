package serve

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/explain"
	"github.com/lethe-dev/lethe/internal/fault"
	"github.com/lethe-dev/lethe/internal/ledger"
	"github.com/lethe-dev/lethe/internal/projection"
)

const (
	// followInterval is how often a log that is followed is looked at, and followLimit how long one request may follow it: then the client
	// asks again, so that a right that was taken away does not last.
	followInterval = time.Second
	followLimit    = 10 * time.Minute
	maxQuestion    = 64 << 10
	// explainLimit is how long stores may take for the records of one person.
	explainLimit = 2 * time.Minute
)

// admit lets somebody go on who may get a resource that has no objects, and says whether it was so. A refusal is on record where the
// namespace has a log: nobody begins one by asking.
func (s *Server) admit(ctx context.Context, q *request, resource, endpoint string) error {
	if ledger.CheckOrigin(q.namespace) != nil {
		return refuse(http.StatusNotFound, "there is no such namespace")
	}
	allowed, err := s.may(ctx, q, authorizationv1.ResourceAttributes{Resource: resource})
	if err != nil {
		return err
	}
	_, err = s.Journal.Ledger.Checkpoint(ctx, q.namespace)
	begun := err == nil
	if err != nil && !errors.Is(err, ledger.ErrNotFound) {
		return err
	}
	attributes := map[string]string{"resource": resource, "endpoint": endpoint}
	if !allowed {
		if begun {
			if err := s.decided(ctx, q, ledger.ReasonDenied, attributes); err != nil {
				return err
			}
		}
		return refuse(http.StatusForbidden, "this needs the verb \"get\" on %s.%s in namespace %s; ask somebody whose role grants it", resource, v1alpha1.GroupVersion.Group, q.namespace)
	}
	if !begun {
		there, err := s.exists(ctx, q.namespace)
		if err != nil {
			return err
		}
		if !there {
			return refuse(http.StatusNotFound, "there is no namespace %s", q.namespace)
		}
	}
	return s.decided(ctx, q, ledger.ReasonGranted, attributes)
}

// question is what can be asked of single records.
type question struct {
	Subject string   `json:"subject"`
	Entity  string   `json:"entity"`
	Key     []string `json:"key"`
}

// explain tells when the records of a person, or one record, go. The question is in the body: keys in an address would end up in logs.
func (s *Server) explain(w http.ResponseWriter, q *request) error {
	ctx := q.Context()
	leave, err := s.downloads.begin(q.user.Username)
	if err != nil {
		return err
	}
	defer leave()
	if err := s.admit(ctx, q, v1alpha1.ResourceExplanations, "/explanations/"+q.namespace); err != nil {
		return err
	}
	var ask question
	if json.NewDecoder(io.LimitReader(q.Body, maxQuestion)).Decode(&ask) != nil || (ask.Subject == "") == (ask.Entity == "") || (ask.Entity == "") != (len(ask.Key) == 0) {
		return refuse(http.StatusBadRequest, "send a JSON object with either subject, or entity and key")
	}
	if err := s.take(w, explainLimit+writeTimeout); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, explainLimit)
	defer cancel()
	x := &explain.Explainer{Client: s.Reader, Stores: s.Stores, Now: s.Journal.Clock.Now()}
	var report *explain.Report
	if ask.Subject != "" {
		report, err = x.Subject(ctx, q.namespace, ask.Subject)
	} else {
		report, err = x.Row(ctx, q.namespace, ask.Entity, ask.Key)
	}
	if err != nil {
		return explained(err)
	}
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(report)
}

// take gives a response more time than others have. Nothing is read from the client any more.
func (s *Server) take(w http.ResponseWriter, d time.Duration) error {
	control := http.NewResponseController(w)
	return errors.Join(control.SetReadDeadline(time.Time{}), control.SetWriteDeadline(s.Clock.Now().Add(d)))
}

// explained is an error whose text may be shown; any other one is for the operator's log alone.
func explained(err error) error {
	var terminal *fault.Terminal
	var waiting *fault.Waiting
	var transient *fault.Transient
	if errors.As(err, &terminal) || errors.As(err, &waiting) || errors.As(err, &transient) {
		_, message := fault.Public(err)
		return refuse(http.StatusConflict, "%s", message)
	}
	return err
}

// line is an entry as it is given out.
type line struct {
	Index uint64          `json:"index"`
	Entry json.RawMessage `json:"entry"`
}

// ledgerQuery is which entries are given out.
type ledgerQuery struct {
	filter projection.EntryFilter
	next   uint64
	tail   int64
	follow bool
	// accesses are entries on who looked at what; they need a right of their own.
	accesses bool
}

// ledger gives out entries of a namespace's log, one JSON object a line, and goes on with those that come where it is followed.
func (s *Server) ledger(w http.ResponseWriter, q *request) error {
	ctx := q.Context()
	ask, err := parseLedgerQuery(q)
	if err != nil {
		return err
	}
	rooms := s.downloads
	if ask.follow {
		rooms = s.follows
	}
	leave, err := rooms.begin(q.user.Username)
	if err != nil {
		return err
	}
	defer leave()
	if err := s.admit(ctx, q, v1alpha1.ResourceLedgerEntries, "/ledger/"+q.namespace); err != nil {
		return err
	}
	if ask.accesses, err = s.may(ctx, q, authorizationv1.ResourceAttributes{Resource: v1alpha1.ResourceAccessLogs}); err != nil {
		return err
	}
	if ask.tail >= 0 {
		newest, err := s.Journal.Ledger.Checkpoint(ctx, q.namespace)
		if err != nil {
			return err
		}
		if size := newest.Size; size > uint64(ask.tail) {
			ask.next = max(ask.next, size-uint64(ask.tail))
		}
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("X-Lethe-Accesses", strconv.FormatBool(ask.accesses))
	w.Header().Set("X-Lethe-From", strconv.FormatUint(ask.next, 10)) // where to go on if nothing comes
	return s.stream(ctx, w, q.namespace, ask)
}

func parseLedgerQuery(q *request) (*ledgerQuery, error) {
	values := q.URL.Query()
	ask := &ledgerQuery{tail: -1, follow: values.Get("follow") == "true", filter: projection.EntryFilter{Kinds: values["kind"], Handles: values["handle"]}}
	var err error
	if text := values.Get("from"); text != "" {
		if ask.next, err = strconv.ParseUint(text, 10, 63); err != nil {
			return nil, refuse(http.StatusBadRequest, "from is the index of an entry, a number from 0")
		}
	}
	if text := values.Get("tail"); text != "" {
		if ask.tail, err = strconv.ParseInt(text, 10, 63); err != nil || ask.tail < 0 {
			return nil, refuse(http.StatusBadRequest, "tail is how many of the newest entries are wanted, a number from 0")
		}
	}
	return ask, nil
}

// stream writes what is there, and what comes while it is followed. The answer has begun, so an error breaks the connection: what was written
// must not look whole.
func (s *Server) stream(ctx context.Context, w http.ResponseWriter, namespace string, ask *ledgerQuery) error {
	control, end := http.NewResponseController(w), s.Clock.Now().Add(followLimit)
	for {
		err := s.take(w, writeTimeout)
		more := false
		if err == nil {
			more, err = s.page(ctx, w, namespace, ask)
		}
		if err != nil {
			if ctx.Err() == nil {
				s.Log.Error(err, "entries of the ledger could not be given out", "namespace", namespace)
			}
			panic(http.ErrAbortHandler)
		}
		if more {
			continue
		}
		if err := control.Flush(); err != nil || !ask.follow || s.Clock.Now().After(end) {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-s.stopping:
			return nil
		case <-s.Clock.After(followInterval):
		}
	}
}

// page writes up to a page of entries and tells whether there may be more.
func (s *Server) page(ctx context.Context, w io.Writer, namespace string, ask *ledgerQuery) (more bool, err error) {
	records, err := s.Journal.Ledger.Entries(ctx, namespace, ask.next, ledger.MaxPage)
	if err != nil {
		return false, err
	}
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	for _, r := range records {
		ask.next = r.Index + 1
		if !ask.filter.Matches(r.Entry) || !ask.accesses && strings.HasPrefix(r.Entry.Kind, "access.") {
			continue
		}
		if err := encoder.Encode(line{r.Index, r.Leaf}); err != nil {
			return false, err
		}
	}
	return len(records) == ledger.MaxPage, nil
}
