package stores

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/fault"
)

// identity is a digest over what says which database, folder, bucket or service it is.
func identity(spec v1alpha1.DataStoreSpec) string {
	var parts []string
	switch {
	case spec.PostgreSQL != nil:
		parts = []string{"postgresql", spec.PostgreSQL.Host, fmt.Sprint(spec.PostgreSQL.Port), spec.PostgreSQL.Database, spec.PostgreSQL.Schema}
	case spec.MySQL != nil:
		parts = []string{"mysql", spec.MySQL.Host, fmt.Sprint(spec.MySQL.Port), spec.MySQL.Database}
	case spec.SQLite != nil:
		parts = []string{"sqlite", spec.SQLite.Path}
	case spec.Filesystem != nil:
		parts = []string{"filesystem", spec.Filesystem.Path}
	case spec.S3 != nil:
		parts = []string{"s3", spec.S3.Endpoint, spec.S3.Bucket, spec.S3.Prefix}
	case spec.Redis != nil:
		database := int32(0)
		if spec.Redis.Database != nil {
			database = *spec.Redis.Database
		}
		addresses := slices.Sorted(slices.Values(spec.Redis.Addresses))
		parts = append([]string{"redis", string(spec.Redis.Mode), spec.Redis.MasterName, fmt.Sprint(database)}, addresses...)
	case spec.HTTP != nil:
		parts = []string{"http", spec.HTTP.URL}
	}
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:16])
}

// credentialsOf tells which Secret a store needs, and what must be in it. The name is empty where it needs none.
func credentialsOf(spec v1alpha1.DataStoreSpec) (field, name string, keys []string) {
	account := []string{"username", "password"}
	switch {
	case spec.PostgreSQL != nil:
		return "postgresql", spec.PostgreSQL.CredentialsSecretRef.Name, account
	case spec.MySQL != nil:
		return "mysql", spec.MySQL.CredentialsSecretRef.Name, account
	case spec.S3 != nil:
		return "s3", spec.S3.CredentialsSecretRef.Name, []string{"accessKeyID", "secretAccessKey"}
	case spec.Redis != nil && spec.Redis.CredentialsSecretRef != nil:
		return "redis", spec.Redis.CredentialsSecretRef.Name, nil
	case spec.HTTP != nil && spec.HTTP.CredentialsSecretRef != nil:
		switch spec.HTTP.Authentication {
		case v1alpha1.HTTPAuthBearer:
			keys = []string{"token"}
		case v1alpha1.HTTPAuthBasic:
			keys = account
		case v1alpha1.HTTPAuthClientCertificate:
			keys = []string{corev1.TLSCertKey, corev1.TLSPrivateKeyKey}
		}
		return "http", spec.HTTP.CredentialsSecretRef.Name, keys
	}
	return "", "", nil
}

func (p *Pool) credentials(ctx context.Context, ds *v1alpha1.DataStore) (data map[string][]byte, version string, err error) {
	field, name, keys := credentialsOf(ds.Spec)
	if name == "" {
		return nil, "", nil
	}
	var secret corev1.Secret
	if err := p.secrets.Get(ctx, types.NamespacedName{Namespace: ds.Namespace, Name: name}, &secret); err != nil {
		if apierrors.IsNotFound(err) {
			with := ""
			if len(keys) > 0 {
				with = " with the keys " + strings.Join(keys, " and ")
			}
			return nil, "", fault.Waitingf(v1alpha1.ReasonCredentialsMissing, 15*time.Second,
				"spec.%s.credentialsSecretRef of DataStore %s: there is no Secret %s; create it%s", field, ds.Name, name, with)
		}
		return nil, "", err
	}
	for _, k := range keys {
		if len(secret.Data[k]) == 0 {
			return nil, "", fault.Waitingf(v1alpha1.ReasonCredentialsMissing, 15*time.Second,
				"Secret %s of DataStore %s has no key %s; add it", name, ds.Name, k)
		}
	}
	return secret.Data, string(secret.UID) + "/" + secret.ResourceVersion, nil
}
