package keyskubernetes

import (
	"context"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/lethe-dev/lethe/internal/keys"
	"github.com/lethe-dev/lethe/internal/keys/keystest"
)

const operatorNamespace = "lethe-system"

var runKey = keys.ID{Purpose: keys.Run, Namespace: "hr", Name: "run-1"}

func TestKubernetesKeepsTheContract(t *testing.T) {
	keystest.Run(t, func(*testing.T) keys.Store {
		c := fake.NewClientBuilder().Build()
		return New(c, c, operatorNamespace)
	})
}

func TestSecretsAreReadOneByOneAndOverwrittenBeforeDeletion(t *testing.T) {
	g, ctx := NewWithT(t), context.Background()
	var calls []string
	var atDeletion corev1.Secret
	c := fake.NewClientBuilder().WithInterceptorFuncs(interceptor.Funcs{
		List: func(context.Context, client.WithWatch, client.ObjectList, ...client.ListOption) error {
			t.Error("Secrets were listed")
			return nil
		},
		Delete: func(ctx context.Context, c client.WithWatch, obj client.Object, opts ...client.DeleteOption) error {
			g.Expect(c.Get(ctx, client.ObjectKeyFromObject(obj), &atDeletion)).To(Succeed())
			var got client.DeleteOptions
			got.ApplyOptions(opts)
			g.Expect(got.Preconditions).NotTo(BeNil())
			g.Expect(*got.Preconditions.UID).To(Equal(atDeletion.UID))
			calls = append(calls, "delete")
			return c.Delete(ctx, obj, opts...)
		},
	}).Build()
	store := New(c, c, operatorNamespace)
	key, err := store.Ensure(ctx, runKey)
	g.Expect(err).NotTo(HaveOccurred())

	var secret corev1.Secret
	g.Expect(c.Get(ctx, client.ObjectKey{Namespace: operatorNamespace, Name: SecretName(runKey)}, &secret)).To(Succeed())
	g.Expect(secret.Type).To(Equal(SecretType))
	g.Expect(secret.OwnerReferences).To(BeEmpty())
	g.Expect(*secret.Immutable).To(BeFalse())
	g.Expect(secret.Data["key"]).To(Equal(key))

	g.Expect(store.Destroy(ctx, runKey)).To(Succeed())
	g.Expect(calls).To(Equal([]string{"delete"}))
	g.Expect(atDeletion.Data["key"]).To(Equal(make([]byte, keys.Size)))
}

func TestHalfDestroyedKeyIsNeverUsed(t *testing.T) {
	g, ctx := NewWithT(t), context.Background()
	fail := true
	c := fake.NewClientBuilder().WithInterceptorFuncs(interceptor.Funcs{
		Delete: func(ctx context.Context, c client.WithWatch, obj client.Object, opts ...client.DeleteOption) error {
			if fail {
				return context.DeadlineExceeded
			}
			return c.Delete(ctx, obj, opts...)
		},
	}).Build()
	store := New(c, c, operatorNamespace)
	_, err := store.Ensure(ctx, runKey)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(store.Destroy(ctx, runKey)).To(MatchError(context.DeadlineExceeded))
	_, err = store.Get(ctx, runKey)
	g.Expect(err).To(MatchError(keys.ErrNotFound))
	_, err = store.Ensure(ctx, runKey)
	g.Expect(err).To(HaveOccurred())
	fail = false
	g.Expect(store.Destroy(ctx, runKey)).To(Succeed())
	_, err = store.Ensure(ctx, runKey)
	g.Expect(err).NotTo(HaveOccurred())
}

func TestForeignSecretIsRefused(t *testing.T) {
	g, ctx := NewWithT(t), context.Background()
	foreign := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: operatorNamespace, Name: SecretName(runKey)},
		Data:       map[string][]byte{"key": make([]byte, keys.Size)},
	}
	c := fake.NewClientBuilder().WithObjects(foreign).Build()
	store := New(c, c, operatorNamespace)
	_, err := store.Ensure(ctx, runKey)
	g.Expect(err).To(MatchError(keys.ErrInvalid))
	g.Expect(store.Destroy(ctx, runKey)).To(MatchError(keys.ErrInvalid))
	g.Expect(c.Get(ctx, client.ObjectKeyFromObject(foreign), &corev1.Secret{})).To(Succeed())
}

func TestSecretNamesAreValid(t *testing.T) {
	g := NewWithT(t)
	long := keys.ID{Purpose: keys.Deactivation, Namespace: strings.Repeat("n", 63), Name: strings.Repeat("x", 253)}
	g.Expect(validation.IsDNS1123Label(SecretName(long))).To(BeEmpty())
}

func TestWorkspaceKeysAreCached(t *testing.T) {
	g, ctx := NewWithT(t), context.Background()
	reads := 0
	c := fake.NewClientBuilder().WithInterceptorFuncs(interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
			reads++
			return c.Get(ctx, key, obj, opts...)
		},
	}).Build()
	store := New(c, c, operatorNamespace)
	for range 5 {
		_, err := store.Ensure(ctx, keys.ID{Purpose: keys.Pseudonym, Namespace: "hr"})
		g.Expect(err).NotTo(HaveOccurred())
	}
	g.Expect(reads).To(Equal(1))
}
