package promises

import (
	"encoding/json"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/types"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
)

// ContainAny matches a text that contains any of the words, without printing the text.
func ContainAny(words ...string) types.GomegaMatcher {
	return WithTransform(func(text string) []string {
		var found []string
		for _, w := range words {
			if strings.Contains(text, w) {
				found = append(found, w)
			}
		}
		return found
	}, Not(BeEmpty()))
}

// everything is the text of all objects of the world's namespaces, of all kinds that the API serves, and the operator's
// log. The identities' Secret of the one request that still runs is left out.
func (w *world) everything(running string) string {
	GinkgoHelper()
	client_, err := discovery.NewDiscoveryClientForConfig(cluster.Config)
	Expect(err).NotTo(HaveOccurred())
	lists, err := client_.ServerPreferredResources()
	Expect(err).NotTo(HaveOccurred())
	var all strings.Builder
	kinds := 0
	for _, list := range lists {
		gv, err := schema.ParseGroupVersion(list.GroupVersion)
		Expect(err).NotTo(HaveOccurred())
		for _, r := range list.APIResources {
			if !r.Namespaced || !contains(r.Verbs, "list") {
				continue
			}
			kinds++
			for _, ns := range []string{w.ns, w.options.Namespace} {
				objects := &unstructured.UnstructuredList{}
				objects.SetGroupVersionKind(gv.WithKind(r.Kind + "List"))
				Expect(cluster.Client.List(w, objects, client.InNamespace(ns))).To(Succeed())
				for _, o := range objects.Items {
					if r.Kind == "Secret" && running != "" && o.GetName() == running {
						continue
					}
					data, err := json.Marshal(o.Object)
					Expect(err).NotTo(HaveOccurred())
					all.Write(data)
				}
			}
		}
	}
	Expect(kinds).To(BeNumerically(">", 15))
	Expect(w.operator.Logs.String()).NotTo(BeEmpty())
	return all.String() + w.operator.Logs.String() + metricsText()
}

// metricsText is what the metrics endpoint would serve.
func metricsText() string {
	GinkgoHelper()
	families, err := metrics.Registry.Gather()
	Expect(err).NotTo(HaveOccurred())
	Expect(families).NotTo(BeEmpty())
	var all strings.Builder
	for _, f := range families {
		all.WriteString(f.String())
	}
	return all.String()
}

func contains(list []string, want string) bool {
	for _, s := range list {
		if s == want {
			return true
		}
	}
	return false
}
