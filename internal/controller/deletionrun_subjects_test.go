package controller

import (
	"context"
	"testing"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	keysmemory "github.com/lethe-dev/lethe/internal/keys/memory"
)

func newRequestsClient(t *testing.T) *fake.ClientBuilder {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	return fake.NewClientBuilder().WithScheme(scheme).WithIndex(&v1alpha1.ErasureRequest{}, indexRun, byRun)
}

// newLateClient writes to an API and reads from a cache, which learns of an object late: when it is asked for it the fifth time.
func newLateClient(t *testing.T, api client.Client) client.Client {
	t.Helper()
	asked := map[client.ObjectKey]int{}
	return newRequestsClient(t).WithInterceptorFuncs(interceptor.Funcs{
		Create: func(ctx context.Context, _ client.WithWatch, obj client.Object, opts ...client.CreateOption) error {
			return api.Create(ctx, obj, opts...)
		},
		Get: func(ctx context.Context, cached client.WithWatch, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
			if asked[key]++; asked[key] == 5 {
				var er v1alpha1.ErasureRequest
				if err := api.Get(ctx, key, &er); err != nil {
					return err
				}
				er.ResourceVersion = ""
				if err := cached.Create(ctx, &er); err != nil {
					return err
				}
			}
			return cached.Get(ctx, key, obj, opts...)
		},
	}).Build()
}

// A rule's run that overlooked a request that was just made would end before the person is erased.
func TestARunSeesTheRequestsThatItMade(t *testing.T) {
	g, ctx := NewWithT(t), context.Background()
	api := newRequestsClient(t).Build()
	run := &v1alpha1.DeletionRun{ObjectMeta: metav1.ObjectMeta{Namespace: "hr", Name: "people", UID: "1"}}
	keyStore := keysmemory.New()
	erase := func(ids ...string) (made, seen, unfinished int) {
		t.Helper()
		e := &ruleEraser{requests: &Requests{Client: newLateClient(t, api), Keys: keyStore}, origin: origin{namespace: "hr", prefix: "people", key: "run/1", run: run}}
		asked, err := e.Erase(ctx, ids)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(asked.Refused).To(BeZero())
		g.Expect(e.Await(ctx, asked.Names)).To(Succeed())
		seen, unfinished, err = e.Requests(ctx)
		g.Expect(err).NotTo(HaveOccurred())
		return asked.Made, seen, unfinished
	}

	made, seen, unfinished := erase("c-1", "c-2", "c-3")
	g.Expect([]int{made, seen, unfinished}).To(Equal([]int{3, 3, 3}))
	made, seen, unfinished = erase("c-1") // as a process does after the death of the one that made it
	g.Expect([]int{made, seen, unfinished}).To(Equal([]int{0, 1, 1}))
}
