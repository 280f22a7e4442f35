// Package plugin is the kubectl plugin: kubectl lethe.
//
// It does what its user may do: it speaks to the API server, and to the operator's own endpoint, with the user's credentials.
package plugin

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/cli"
)

// pollInterval is how often an object is looked at while the plugin waits for it.
const pollInterval = time.Second

// Options of the plugin.
type Options struct {
	Streams genericiooptions.IOStreams
	Clock   clock.PassiveClock
	Version string
}

// session is what all commands share.
type session struct {
	Options
	flags *genericclioptions.ConfigFlags
	// operatorNamespace is where the operator and its ConfigMaps are.
	operatorNamespace string

	config *rest.Config
	client client.Client
}

// NewCommand makes the plugin's command.
func NewCommand(o Options) *cobra.Command {
	s := &session{Options: o, flags: genericclioptions.NewConfigFlags(true)}
	root := &cobra.Command{
		Use:         "kubectl-lethe",
		Annotations: map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl lethe"},
		Short:       "Ask for erasures, follow and decide them, and see what keeps data and until when",
		Long: `Works with Lethe, which erases personal data when it must go, keeps it when the law says so, and proves both.

It does what you may do with your credentials, and nothing else; kubectl lethe check tells what that is.`,
		Version:       o.Version,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetIn(o.Streams.In)
	root.SetOut(o.Streams.Out)
	root.SetErr(o.Streams.ErrOut)
	root.AddGroup(&cobra.Group{ID: groupRequests, Title: "Requests:"}, &cobra.Group{ID: groupLook, Title: "What is kept, and what goes:"},
		&cobra.Group{ID: groupProof, Title: "Record and proof:"})
	for group, commands := range map[string][]*cobra.Command{
		groupRequests: {s.newRequestCommand(), s.newStatusCommand(), s.newApproveCommand(), s.newCancelCommand(), s.newRetryCommand(), s.newPreviewCommand()},
		groupLook:     {s.newExplainCommand(), s.newHoldsCommand(), s.newPolicyCommand(), s.newCheckCommand()},
		groupProof:    {s.newExportCommand(), s.newLogsCommand(), cli.NewVerifyCommand("kubectl lethe")},
	} {
		for _, c := range commands {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	flags := root.PersistentFlags()
	s.flags.AddFlags(flags)
	flags.StringVar(&s.operatorNamespace, "operator-namespace", "lethe-system", "namespace of the operator")
	_ = root.RegisterFlagCompletionFunc("namespace", s.completeNamespaces)
	return root
}

const (
	groupRequests = "requests"
	groupLook     = "look"
	groupProof    = "proof"
)

func newScheme() *runtime.Scheme {
	scheme := runtime.NewScheme()
	utilruntime.Must(clientgoscheme.AddToScheme(scheme))
	utilruntime.Must(v1alpha1.AddToScheme(scheme))
	utilruntime.Must(apiextensionsv1.AddToScheme(scheme))
	return scheme
}

// connect makes a client of the cluster that the flags name, and tells the namespace.
func (s *session) connect() (client.Client, string, error) {
	namespace, _, err := s.flags.ToRawKubeConfigLoader().Namespace()
	if err != nil {
		return nil, "", noCluster(err)
	}
	if s.client != nil {
		return s.client, namespace, nil
	}
	if s.config, err = s.flags.ToRESTConfig(); err != nil {
		return nil, "", noCluster(err)
	}
	if s.client, err = client.New(s.config, client.Options{Scheme: newScheme()}); err != nil {
		return nil, "", noCluster(err)
	}
	return s.client, namespace, nil
}

func noCluster(err error) error {
	if clientcmd.IsEmptyConfig(err) {
		return errors.New("there is no cluster to ask: name a kubeconfig with --kubeconfig or KUBECONFIG, and a context of it with --context")
	}
	return fmt.Errorf("the cluster cannot be asked: %w", err)
}

// helpful says what to do about an error of the API server.
func (s *session) helpful(err error, namespace string) error {
	switch {
	case err == nil:
		return nil
	case utilnet.IsConnectionRefused(err):
		return fmt.Errorf("no API server answers at %s: name a kubeconfig with --kubeconfig or KUBECONFIG, and a context of it with --context", s.config.Host)
	case meta.IsNoMatchError(err):
		return fmt.Errorf("this cluster does not know %s: install Lethe's CustomResourceDefinitions, or name another cluster with --context; kubectl lethe check tells more",
			v1alpha1.GroupVersion)
	case apierrors.IsNotFound(err):
		return fmt.Errorf("%s in namespace %s; name another namespace with -n", plain(err), namespace)
	case apierrors.IsUnauthorized(err):
		return errors.New("the API server does not accept your credentials: log in again, or name another user with --user or --context")
	case apierrors.IsForbidden(err) && strings.Contains(err.Error(), "is forbidden: User"):
		return fmt.Errorf("%s; kubectl lethe check -n %s tells what you may, and a role such as lethe-admin grants it", plain(err), namespace)
	case apierrors.IsInternalError(err) && strings.Contains(err.Error(), "webhook"):
		return fmt.Errorf("%s: the operator that has to admit this does not answer; kubectl lethe check tells more", plain(err))
	}
	return errors.New(plain(err))
}

// plain is an error without the words that tell of its way.
func plain(err error) string {
	text := err.Error()
	if status := apierrors.APIStatus(nil); errors.As(err, &status) {
		text = status.Status().Message
	}
	if _, after, ok := strings.Cut(text, `admission webhook "`); ok {
		if _, reason, ok := strings.Cut(after, "denied the request: "); ok {
			return reason
		}
	}
	return text
}

// poll looks again until done says so, or the time is over.
func poll(ctx context.Context, timeout time.Duration, done wait.ConditionWithContextFunc) error {
	return wait.PollUntilContextTimeout(ctx, pollInterval, timeout, true, done)
}

// progress tells on standard error how far something is that is waited for; what does not change is told once.
type progress struct {
	s    *session
	last string
}

func (p *progress) tell(format string, args ...any) {
	if line := fmt.Sprintf(format, args...); line != p.last {
		p.last = line
		_, _ = fmt.Fprintln(p.s.Streams.ErrOut, line)
	}
}
