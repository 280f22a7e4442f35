package harness

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"
)

// OperatorConfig is a client configuration with exactly the rights of config/rbac and config/postgresql: the generated ClusterRole
// everywhere, and the operator's own roles in its namespace.
func (c *Cluster) OperatorConfig(ctx context.Context, namespace string) (*rest.Config, error) {
	user := "lethe-operator:" + namespace
	subjects := []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: user}}
	var cluster rbacv1.ClusterRole
	if err := readRole("rbac/role.yaml", &cluster); err != nil {
		return nil, err
	}
	if err := c.Client.Create(ctx, cluster.DeepCopy()); err != nil && !apierrors.IsAlreadyExists(err) {
		return nil, err
	}
	if err := c.Client.Create(ctx, &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: user}, Subjects: subjects,
		RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: cluster.Name}}); err != nil {
		return nil, err
	}
	for _, file := range []string{"rbac/secrets_role.yaml", "postgresql/jobs_role.yaml", "rbac/leader_election_role.yaml"} {
		var role rbacv1.Role
		if err := readRole(file, &role); err != nil {
			return nil, err
		}
		role.Namespace = namespace
		if err := c.Client.Create(ctx, &role); err != nil {
			return nil, err
		}
		if err := c.Client.Create(ctx, &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Name: role.Name, Namespace: namespace}, Subjects: subjects,
			RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: role.Name}}); err != nil {
			return nil, err
		}
	}
	config := rest.CopyConfig(c.Config)
	config.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: []string{"system:authenticated"}}
	return config, nil
}

func readRole(file string, into any) error {
	data, err := os.ReadFile(filepath.Join(Root(), "config", file))
	if err == nil {
		err = yaml.UnmarshalStrict(data, into)
	}
	if err != nil {
		return fmt.Errorf("config/%s: %w", file, err)
	}
	return nil
}
