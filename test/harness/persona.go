package harness

import (
	"context"
	"errors"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Persona is a service account of a namespace with one of the roles of config/rbac in it, such as "viewer", or with none, for "".
// It comes with a token as the API server gives them out, and nothing else.
func (c *Cluster) Persona(ctx context.Context, namespace, name, role string) (*rest.Config, client.Client, error) {
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace}}
	if err := c.Client.Create(ctx, account); err != nil {
		return nil, nil, err
	}
	if role != "" {
		if err := c.bindPersona(ctx, account, role); err != nil {
			return nil, nil, err
		}
	}
	token := &authenticationv1.TokenRequest{}
	if err := c.Client.SubResource("token").Create(ctx, account, token); err != nil {
		return nil, nil, err
	}
	if token.Status.Token == "" {
		return nil, nil, errors.New("the API server gave out no token")
	}
	config := rest.AnonymousClientConfig(c.Config)
	config.BearerToken = token.Status.Token
	own, err := client.New(config, client.Options{Scheme: c.Client.Scheme()})
	return config, own, err
}

func (c *Cluster) bindPersona(ctx context.Context, account *corev1.ServiceAccount, role string) error {
	var r rbacv1.ClusterRole
	if err := readRole("rbac/persona_"+role+".yaml", &r); err != nil {
		return err
	}
	if err := c.Client.Create(ctx, r.DeepCopy()); err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	err := c.Client.Create(ctx, &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Name: account.Name, Namespace: account.Namespace},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: account.Name, Namespace: account.Namespace}},
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: r.Name}})
	if err != nil {
		return err
	}
	rule := r.Rules[0]
	return c.AwaitRight(ctx, account, authorizationv1.ResourceAttributes{Namespace: account.Namespace, Group: rule.APIGroups[0], Resource: rule.Resources[0], Verb: rule.Verbs[0]})
}

// AwaitRight waits until the API server's authorizer has seen the role by which a service account has a right.
func (c *Cluster) AwaitRight(ctx context.Context, account *corev1.ServiceAccount, right authorizationv1.ResourceAttributes) error {
	return wait.PollUntilContextTimeout(ctx, 10*time.Millisecond, 30*time.Second, true, func(ctx context.Context) (bool, error) {
		review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
			User: "system:serviceaccount:" + account.Namespace + ":" + account.Name, ResourceAttributes: &right}}
		err := c.Client.Create(ctx, review)
		return review.Status.Allowed, err
	})
}
