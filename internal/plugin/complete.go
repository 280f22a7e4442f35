package plugin

import (
	"strings"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// completeNames completes names of objects that keep says yes to.
func (s *session) completeNames(list client.ObjectList, many bool, keep func(client.Object) bool) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 && !many {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		c, namespace, err := s.connect()
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		return s.names(cmd, c, list, begun, keep, client.InNamespace(namespace))
	}
}

func (s *session) completeNamespaces(cmd *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
	c, _, err := s.connect()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	return s.names(cmd, c, &corev1.NamespaceList{}, begun, nil)
}

func (s *session) names(cmd *cobra.Command, c client.Client, list client.ObjectList, begun string, keep func(client.Object) bool, o ...client.ListOption) ([]string, cobra.ShellCompDirective) {
	list = list.DeepCopyObject().(client.ObjectList)
	if err := c.List(cmd.Context(), list, o...); err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var names []string
	_ = meta.EachListItem(list, func(o runtime.Object) error {
		if obj := o.(client.Object); strings.HasPrefix(obj.GetName(), begun) && (keep == nil || keep(obj)) {
			names = append(names, obj.GetName())
		}
		return nil
	})
	return names, cobra.ShellCompDirectiveNoFileComp
}
