package serve

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/uuid"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/export"
	"github.com/lethe-dev/lethe/internal/keys"
	"github.com/lethe-dev/lethe/internal/ledger"
	"github.com/lethe-dev/lethe/internal/stamp"
)

// +kubebuilder:rbac:groups=authentication.k8s.io,resources=tokenreviews,verbs=create
// +kubebuilder:rbac:groups=authorization.k8s.io,resources=subjectaccessreviews,verbs=create

const (
	resource    = "complianceexports"
	subresource = "download"
	// maxToken bounds what is taken for a token.
	maxToken = 16 << 10
)

// refusal is an answer without a file.
type refusal struct {
	status int
	text   string
}

func (r *refusal) Error() string { return r.text }

func refuse(status int, format string, args ...any) error {
	return &refusal{status, fmt.Sprintf(format, args...)}
}

// Handler answers GET and HEAD of /exports/{namespace}/{name} and of its proof, gives out the ledger and explanations, and takes the API
// server's audit events.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /exports/{namespace}/{name}", s.answer(s.limited(s.file)))
	mux.HandleFunc("GET /exports/{namespace}/{name}/proof", s.answer(s.limited(s.proof)))
	mux.HandleFunc("GET /ledger/{namespace}", s.answer(s.limited(s.ledger)))
	mux.HandleFunc("POST /explanations/{namespace}", s.answer(s.limited(s.explain)))
	mux.HandleFunc("POST "+auditPath, s.answer(s.audit))
	return mux
}

// limited bounds the requests of one user.
func (s *Server) limited(give giver) giver {
	return func(w http.ResponseWriter, q *request) error {
		if !s.users.allow(q.user.Username, s.Clock.Now()) {
			return refuse(http.StatusTooManyRequests, "too many requests; try again in a few seconds")
		}
		return give(w, q)
	}
}

// request is one request of an authenticated user.
type request struct {
	*http.Request
	user            authenticationv1.UserInfo
	namespace, name string
}

// giver answers a request of somebody who is known.
type giver func(http.ResponseWriter, *request) error

func (s *Server) answer(give giver) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		control := http.NewResponseController(w)
		err := control.SetWriteDeadline(s.Clock.Now().Add(writeTimeout))
		if errors.Is(err, http.ErrNotSupported) { // in a test without a connection
			err = nil
		}
		var q *request
		if err == nil {
			q, err = s.identify(r)
		}
		if err == nil {
			err = give(&patient{w, control, s.Clock.Now}, q)
		}
		if err == nil {
			return
		}
		var refused *refusal
		if !errors.As(err, &refused) {
			s.Log.Error(err, "a request could not be answered", "path", r.URL.Path)
			refused = &refusal{http.StatusServiceUnavailable, "this cannot be answered at the moment; try again"}
		}
		switch refused.status {
		case http.StatusUnauthorized:
			w.Header().Set("WWW-Authenticate", `Bearer realm="lethe"`)
		case http.StatusTooManyRequests, http.StatusServiceUnavailable:
			w.Header().Set("Retry-After", "5")
		}
		http.Error(w, refused.text, refused.status)
	}
}

// identify asks the API server whose token it is.
func (s *Server) identify(r *http.Request) (*request, error) {
	if !s.all.AllowN(s.Clock.Now(), 1) {
		return nil, refuse(http.StatusTooManyRequests, "too many requests; try again in a few seconds")
	}
	scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	token = strings.TrimSpace(token)
	if !ok || !strings.EqualFold(scheme, "Bearer") || token == "" || len(token) > maxToken {
		return nil, refuse(http.StatusUnauthorized, "send a token of the cluster: Authorization: Bearer $(kubectl create token NAME)")
	}
	review := &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token}}
	if err := s.Client.Create(r.Context(), review); err != nil {
		return nil, fmt.Errorf("TokenReview: %w", withoutToken(err))
	}
	if !review.Status.Authenticated || review.Status.User.Username == "" {
		return nil, refuse(http.StatusUnauthorized, "the cluster does not accept this token; it may have expired")
	}
	return &request{Request: r, user: review.Status.User, namespace: r.PathValue("namespace"), name: r.PathValue("name")}, nil
}

// withoutToken keeps the reason of an API error and leaves its text behind, which may repeat what was sent.
func withoutToken(err error) error {
	return fmt.Errorf("the API server answered %s", string(apierrors.ReasonForError(err)))
}

// may asks the API server's authorizers.
func (s *Server) may(ctx context.Context, q *request, a authorizationv1.ResourceAttributes) (bool, error) {
	a.Namespace, a.Verb, a.Group, a.Version = q.namespace, "get", v1alpha1.GroupVersion.Group, v1alpha1.GroupVersion.Version
	return s.review(ctx, q, authorizationv1.SubjectAccessReviewSpec{ResourceAttributes: &a})
}

func (s *Server) review(ctx context.Context, q *request, spec authorizationv1.SubjectAccessReviewSpec) (bool, error) {
	extra := map[string]authorizationv1.ExtraValue{}
	for k, v := range q.user.Extra {
		extra[k] = authorizationv1.ExtraValue(v)
	}
	spec.User, spec.UID, spec.Groups, spec.Extra = q.user.Username, q.user.UID, q.user.Groups, extra
	review := &authorizationv1.SubjectAccessReview{Spec: spec}
	if err := s.Client.Create(ctx, review); err != nil {
		return false, fmt.Errorf("SubjectAccessReview: %w", err)
	}
	return review.Status.Allowed && !review.Status.Denied, nil
}

// permit gives the export if the user may have it. A refusal is on record, and does not tell whether there is such an export.
func (s *Server) permit(ctx context.Context, q *request) (*v1alpha1.ComplianceExport, error) {
	if ledger.CheckOrigin(q.namespace) != nil {
		return nil, refuse(http.StatusNotFound, "there is no such namespace")
	}
	allowed, err := s.may(ctx, q, authorizationv1.ResourceAttributes{Resource: resource, Subresource: subresource, Name: q.name})
	if err != nil {
		return nil, err
	}
	denied := refuse(http.StatusForbidden, "downloading this export needs the verb \"get\" on %s/%s.%s %s in namespace %s; ask somebody whose role grants it",
		resource, subresource, v1alpha1.GroupVersion.Group, q.name, q.namespace)
	var x v1alpha1.ComplianceExport
	err = s.Reader.Get(ctx, client.ObjectKey{Namespace: q.namespace, Name: q.name}, &x)
	switch {
	case apierrors.IsNotFound(err) && !allowed:
		return nil, denied // without a record: anybody could fill the ledger of a namespace, or begin one
	case apierrors.IsNotFound(err):
		return nil, refuse(http.StatusNotFound, "there is no ComplianceExport %s in namespace %s", q.name, q.namespace)
	case err != nil:
		return nil, err
	}
	needed := resource + "/" + subresource
	if allowed && x.Spec.Log == v1alpha1.LogAccess {
		needed = v1alpha1.ResourceAccessLogs
		if allowed, err = s.may(ctx, q, authorizationv1.ResourceAttributes{Resource: needed}); err != nil {
			return nil, err
		}
		denied = refuse(http.StatusForbidden, "an export of the access log needs the verb \"get\" on %s.%s in namespace %s too", needed, v1alpha1.GroupVersion.Group, q.namespace)
	}
	if allowed {
		return &x, nil
	}
	if err := s.record(ctx, q, &x, ledger.ReasonDenied, needed); err != nil {
		return nil, err
	}
	return nil, denied
}

// record puts a decision on record, and is durable when it returns.
func (s *Server) record(ctx context.Context, q *request, x *v1alpha1.ComplianceExport, reason, needed string, more ...ledger.Entry) error {
	return s.decided(ctx, q, reason, map[string]string{"resource": needed, "uid": string(x.UID), "endpoint": export.DownloadPath(q.namespace, "{name}")}, more...)
}

// decided puts a decision on record in the log of the request's namespace.
func (s *Server) decided(ctx context.Context, q *request, reason string, attributes map[string]string, more ...ledger.Entry) error {
	actor, err := s.actor(ctx, q.namespace, q.user.Username, q.user.Groups)
	if err != nil {
		return err
	}
	attributes["permission"], attributes["operation"] = "get", q.Method
	e := ledger.Entry{Key: "access/download/" + string(uuid.NewUUID()), Kind: ledger.KindAccessDecided, Reason: reason, Attributes: attributes}
	entries := append([]ledger.Entry{e}, more...)
	for i := range entries {
		entries[i].Actor = actor.User
		if len(actor.Groups) > 0 {
			entries[i].Attributes[ledger.AttributeGroups] = ledger.GroupList(actor.Groups)
		}
	}
	return s.Journal.Append(ctx, q.namespace, entries...)
}

// actor is a user in the form that a namespace's policy allows.
func (s *Server) actor(ctx context.Context, namespace, user string, groups []string) (stamp.Actor, error) {
	key, err := s.Keys.Ensure(ctx, keys.ID{Purpose: keys.Pseudonym, Namespace: namespace})
	if err != nil {
		return stamp.Actor{}, err
	}
	var policies v1alpha1.RetentionPolicyList
	if err := s.Reader.List(ctx, &policies, client.InNamespace(namespace)); err != nil {
		return stamp.Actor{}, err
	}
	pseudonymous := false
	for _, p := range policies.Items {
		pseudonymous = pseudonymous || (p.Spec.Requests != nil && p.Spec.Requests.Actors == v1alpha1.ActorsPseudonymous)
	}
	return stamp.NewActor(key, user, groups, pseudonymous), nil
}

// recorded is what the ledger says of an export that is complete.
type recorded struct {
	size   int64
	digest []byte
	entry  ledger.Entry
}

// complete tells whether there is a file to hand out. What the ledger says counts, not the status.
func (s *Server) complete(ctx context.Context, x *v1alpha1.ComplianceExport) (*recorded, error) {
	find := func(what string) (*ledger.Entry, error) {
		record, err := s.Journal.Ledger.Find(ctx, x.Namespace, export.Key(string(x.UID), what))
		if errors.Is(err, ledger.ErrNotFound) {
			return nil, nil
		}
		return &record.Entry, err
	}
	for _, gone := range []struct {
		what   string
		status int
		text   string
	}{
		{"purged", http.StatusGone, "the file was purged at the end of its archive retention; make another export"},
		{"failed", http.StatusConflict, "the export failed, its status says why; make another one"},
	} {
		e, err := find(gone.what)
		if err != nil {
			return nil, err
		}
		if e != nil {
			return nil, refuse(gone.status, "%s", gone.text)
		}
	}
	e, err := find("completed")
	if err != nil {
		return nil, err
	}
	if e == nil {
		return nil, refuse(http.StatusConflict, "the export is not complete yet (%d %%); try again later", x.Status.Progress)
	}
	if x.Spec.Destination != nil {
		return nil, refuse(http.StatusConflict, "the file is in DataStore %s, not here", x.Spec.Destination.DataStoreRef.Name)
	}
	if x.Status.ExpiresAt != nil && !s.Journal.Clock.Now().Before(x.Status.ExpiresAt.Time) {
		return nil, refuse(http.StatusGone, "the archive retention of this export has ended; make another one")
	}
	size, err := strconv.ParseInt(e.Attributes[export.AttributeSize], 10, 64)
	if err != nil {
		return nil, errors.New("the size on record is not a number")
	}
	digest, err := hex.DecodeString(e.Attributes[export.AttributeSHA256])
	return &recorded{size, digest, *e}, err
}

// file hands out the file.
func (s *Server) file(w http.ResponseWriter, q *request) error {
	ctx := q.Context()
	x, err := s.permit(ctx, q)
	if err != nil {
		return err
	}
	known, err := s.complete(ctx, x)
	if err != nil {
		return err
	}
	leave, err := s.downloads.begin(q.user.Username)
	if err != nil {
		return err
	}
	defer leave()
	content, err := s.open(x, known)
	if err != nil {
		return err
	}
	defer func() { _ = content.Close() }()
	downloaded := ledger.Entry{Key: export.Key(string(x.UID), "downloaded/"+string(uuid.NewUUID())), Kind: ledger.KindExportDownloaded, Attributes: map[string]string{
		export.AttributeExport: string(x.UID), export.AttributeLog: string(x.Spec.Log), export.AttributeFormat: string(x.Spec.Format),
		export.AttributeSHA256: known.entry.Attributes[export.AttributeSHA256]}}
	more := []ledger.Entry{downloaded}
	if q.Method == http.MethodHead {
		more = nil
	}
	needed := resource + "/" + subresource
	if x.Spec.Log == v1alpha1.LogAccess {
		needed += "," + v1alpha1.ResourceAccessLogs
	}
	if err := s.record(ctx, q, x, ledger.ReasonGranted, needed, more...); err != nil {
		return err
	}
	name := export.FileName(x.Name, x.Spec.Format)
	digest := base64.StdEncoding.EncodeToString(known.digest)
	h := w.Header()
	h.Set("Content-Type", export.ContentType(x.Spec.Format))
	h.Set("Content-Disposition", `attachment; filename="`+x.Namespace+"-"+name+`"`) // names of objects need no quoting
	h.Set("Repr-Digest", "sha-256=:"+digest+":")                                    // RFC 9530
	h.Set("ETag", `"`+known.entry.Attributes[export.AttributeSHA256]+`"`)
	http.ServeContent(w, q.Request, name, time.Time{}, content)
	return nil
}

// open opens a file that has the size on record.
func (s *Server) open(x *v1alpha1.ComplianceExport, known *recorded) (interface {
	io.ReadSeeker
	io.Closer
}, error) {
	if s.Storage == nil {
		return nil, refuse(http.StatusServiceUnavailable, "the operator keeps no files any more (--export-path)")
	}
	var file *os.File
	file, err := s.Storage.Open(x.Namespace, string(x.UID), export.FileName(x.Name, x.Spec.Format))
	if errors.Is(err, export.ErrGone) {
		return nil, refuse(http.StatusServiceUnavailable, "the file is being made anew; try again later")
	}
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && info.Size() != known.size {
		err = refuse(http.StatusServiceUnavailable, "the file is not the one that is on record; see the status of the export")
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// proof hands out the proof, which tells no more than the status of the export.
func (s *Server) proof(w http.ResponseWriter, q *request) error {
	x, err := s.permit(q.Context(), q)
	if err != nil {
		return err
	}
	if x.Status.Proof == "" {
		return refuse(http.StatusConflict, "the export has no proof yet; try again later")
	}
	if err := s.record(q.Context(), q, x, ledger.ReasonGranted, resource+"/"+subresource); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Disposition", `attachment; filename="`+x.Namespace+"-"+x.Name+`.proof.json"`)
	_, err = io.WriteString(w, x.Status.Proof)
	return err
}
