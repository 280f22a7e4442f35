package serve

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/internal/accesslog"
	"github.com/lethe-dev/lethe/internal/ledger"
)

// auditPath is where an API server sends its audit events. Who may post there is a right on this path, which is no resource.
const auditPath = "/audit"

// audit takes events of who may send them.
func (s *Server) audit(w http.ResponseWriter, q *request) error {
	allowed, err := s.review(q.Context(), q, authorizationv1.SubjectAccessReviewSpec{
		NonResourceAttributes: &authorizationv1.NonResourceAttributes{Path: auditPath, Verb: "post"}})
	if err != nil {
		return err
	}
	if !allowed {
		return refuse(http.StatusForbidden, "sending audit events needs the verb \"post\" on the path %s (nonResourceURLs of a ClusterRole)", auditPath)
	}
	events := &accesslog.Handler{Operator: s.Namespace, Actor: s.actor, Log: s.Log, Exists: s.exists,
		Self: func(user string) bool { return user == s.self },
		Record: func(ctx context.Context, namespace string, entries []ledger.Entry) error {
			return s.Journal.Record(ctx, namespace, entries)
		}}
	events.ServeHTTP(w, q.Request)
	return nil
}

// exists tells whether a namespace is there, or has a ledger since it was.
func (s *Server) exists(ctx context.Context, namespace string) (bool, error) {
	_, err := s.Journal.Ledger.Checkpoint(ctx, namespace)
	if !errors.Is(err, ledger.ErrNotFound) {
		return err == nil, err
	}
	err = s.Reader.Get(ctx, client.ObjectKey{Name: namespace}, &corev1.Namespace{})
	return err == nil, client.IgnoreNotFound(err)
}

// askSelf asks the API server as whom the operator speaks to it: its own work is no access.
func (s *Server) askSelf(ctx context.Context) error {
	review := &authenticationv1.SelfSubjectReview{}
	if err := s.Client.Create(ctx, review); err != nil {
		return fmt.Errorf("as whom the operator speaks to the API server: %w", err)
	}
	s.self = review.Status.UserInfo.Username
	return nil
}
