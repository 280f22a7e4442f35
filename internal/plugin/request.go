package plugin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/rand"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// requestFlags of kubectl lethe request.
type requestFlags struct {
	name, subject, scope, source, note string
	identities                         string
	fromRecords, immediate             bool
	dryRun                             string
	output                             output
	waiting                            waiting
}

func (s *session) newRequestCommand() *cobra.Command {
	f := &requestFlags{}
	cmd := &cobra.Command{
		Use:   "request [NAME] --subject ID [--identities FILE]",
		Short: "Ask for the erasure of one person",
		Long: `Ask for the erasure of one person: it makes the Secret with the identities, and the ErasureRequest that uses it. First both are tried
without effect, so that nothing is left behind where one is refused.

Identities, such as an e-mail address, are read from a file, from standard input, or asked for on a terminal; there is no flag for a value,
because it would stay in the shell's history. A file has lines NAME=VALUE, several for several values, or a JSON object of names and
texts or lists. All identities by which the maps find people have to be there, with no value where the person has none.

It needs the right to create erasurerequests (role lethe-editor) and secrets in the namespace.`,
		Example: `  kubectl lethe request --subject app-000202                      # asks for the identities
  kubectl lethe request --subject app-000202 --identities person.txt --source Subject
  pass show person | kubectl lethe request --subject app-000202 --identities -
  kubectl lethe request --subject app-000202 --from-records --dry-run=server`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				f.name = args[0]
			}
			return s.request(cmd.Context(), f)
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	flags := cmd.Flags()
	flags.StringVar(&f.subject, "subject", "", "id of the person in the application; opaque, no e-mail address")
	flags.StringVar(&f.identities, "identities", "", "file with the person's identities; - for standard input; default: asked for on a terminal")
	flags.BoolVar(&f.fromRecords, "from-records", false, "take the identities from the records that the id leads to")
	flags.StringVar(&f.scope, "scope", "", "named part of the maps; default: everything")
	flags.StringVar(&f.source, "source", string(v1alpha1.SourceAdmin), "who wants it: "+strings.Join(sources(), ", "))
	flags.StringVar(&f.note, "note", "", "note for the record, at most 256 characters, without personal data")
	flags.BoolVar(&f.immediate, "immediate", false, "without a grace period; needs the verb expedite on erasurerequests")
	registerDryRun(cmd, &f.dryRun, "server", "client")
	f.output.register(cmd)
	f.waiting.register(cmd, "until the request has ended, or waits for a person or a time")
	_ = cmd.MarkFlagRequired("subject")
	_ = cmd.MarkFlagFilename("identities")
	_ = cmd.RegisterFlagCompletionFunc("source", cobra.FixedCompletions(sources(), cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// sources that people may claim.
func sources() []string {
	return []string{string(v1alpha1.SourceSubject), string(v1alpha1.SourceAdmin), string(v1alpha1.SourceAPI), string(v1alpha1.SourceConsentWithdrawn),
		string(v1alpha1.SourceConsentDeclined), string(v1alpha1.SourceConsentExpired)}
}

func (f *requestFlags) check() error {
	switch {
	case strings.Contains(f.subject, "@"):
		return errors.New("--subject must be an opaque id of the application, no e-mail address: give that with --identities")
	case !slices.Contains(sources(), f.source):
		return fmt.Errorf("--source %s: it is one of %s", f.source, strings.Join(sources(), ", "))
	case f.fromRecords && f.identities != "":
		return errors.New("--identities and --from-records exclude each other: identities come from a file or from the records")
	}
	return checkDryRun(f.dryRun, "server", "client")
}

// objects are the request, and the Secret of its identities unless they come from the records.
func (f *requestFlags) objects(namespace string, given identities) (*v1alpha1.ErasureRequest, *corev1.Secret) {
	er := &v1alpha1.ErasureRequest{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "ErasureRequest"},
		ObjectMeta: metav1.ObjectMeta{Name: f.name, Namespace: namespace},
		Spec: v1alpha1.ErasureRequestSpec{Subject: v1alpha1.Subject{ID: f.subject, IdentitiesFromRecords: f.fromRecords}, Scope: f.scope,
			Source: v1alpha1.Source(f.source), Note: f.note, Timing: v1alpha1.TimingAfterGracePeriod},
	}
	if f.immediate {
		er.Spec.Timing = v1alpha1.TimingImmediate
	}
	if f.fromRecords || len(given) == 0 {
		return er, nil
	}
	er.Spec.Subject.IdentitiesSecretRef = &v1alpha1.LocalReference{Name: f.name}
	return er, &corev1.Secret{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: metav1.ObjectMeta{Name: f.name, Namespace: namespace, Annotations: map[string]string{v1alpha1.AnnotationRequest: f.name}},
		Type:       v1alpha1.IdentitiesSecretType, Data: given.secretData(),
	}
}

func (s *session) request(ctx context.Context, f *requestFlags) error {
	if err := f.check(); err != nil {
		return err
	}
	c, namespace, err := s.connect()
	if err != nil {
		return err
	}
	var given identities
	if !f.fromRecords {
		names, known, err := identityNames(ctx, c, namespace)
		if err != nil {
			return s.helpful(err, namespace)
		}
		if !known && f.identities == "" {
			return errors.New("you may not read the maps of the namespace, so nobody knows which identities to ask you for: give --identities or --from-records")
		}
		if given, err = s.readIdentities(f.identities, names); err != nil {
			return err
		}
		if known {
			err = given.check(names)
		}
		if err != nil {
			return err
		}
	}
	if f.name == "" {
		f.name = "erase-" + rand.String(8)
	}
	er, secret := f.objects(namespace, given)
	if f.dryRun == "client" {
		return s.showRequest(f, er, given, " (client dry run)")
	}
	if err := s.tryRequest(ctx, c, er, secret); err != nil {
		return s.helpful(err, namespace)
	}
	if f.dryRun == "server" {
		return s.showRequest(f, er, given, " (server dry run)")
	}
	if err := s.createRequest(ctx, c, er, secret); err != nil {
		return err
	}
	if err := s.showRequest(f, er, given, ""); err != nil || !f.waiting.wait {
		return err
	}
	return s.follow(ctx, c, er, f.waiting.timeout)
}

// tryRequest asks for both without effect, so that a refusal leaves no identities behind.
func (s *session) tryRequest(ctx context.Context, c client.Client, er *v1alpha1.ErasureRequest, secret *corev1.Secret) error {
	if err := c.Create(ctx, er.DeepCopy(), client.DryRunAll); err != nil || secret == nil {
		return err
	}
	return c.Create(ctx, secret.DeepCopy(), client.DryRunAll)
}

// tidying is how long what is left behind may take to be removed.
const tidying = 10 * time.Second

func (s *session) createRequest(ctx context.Context, c client.Client, er *v1alpha1.ErasureRequest, secret *corev1.Secret) error {
	if secret != nil {
		if err := c.Create(ctx, secret); err != nil {
			return s.helpful(err, er.Namespace)
		}
	}
	err := c.Create(ctx, er)
	if err == nil || secret == nil {
		return s.helpful(err, er.Namespace)
	}
	// The request may be there although its answer was lost: then the Secret is its own. Who interrupts the command still has it tidied.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tidying)
	defer cancel()
	switch left := c.Get(ctx, client.ObjectKeyFromObject(er), &v1alpha1.ErasureRequest{}); {
	case left == nil:
		return fmt.Errorf("%w; but the request %s is there: kubectl lethe status %s shows it", s.helpful(err, er.Namespace), er.Name, er.Name)
	case apierrors.IsNotFound(left):
		if c.Delete(ctx, secret, client.Preconditions{UID: &secret.UID}) == nil {
			return s.helpful(err, er.Namespace)
		}
	}
	return fmt.Errorf("%w; the Secret %s with the identities is there: look whether the request %s is there too, and delete the Secret if not", s.helpful(err, er.Namespace), secret.Name, er.Name)
}

// showRequest prints what was asked for. The identities' values are shown nowhere.
func (s *session) showRequest(f *requestFlags, er *v1alpha1.ErasureRequest, given identities, suffix string) error {
	er.TypeMeta = metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "ErasureRequest"}
	er.ManagedFields = nil
	return f.output.write(s.Streams.Out, er, func(out io.Writer) error {
		if er.Spec.Subject.IdentitiesSecretRef != nil {
			var names []string
			for _, name := range slices.Sorted(maps.Keys(given)) {
				names = append(names, fmt.Sprintf("%s (%d)", name, len(given[name])))
			}
			_, _ = fmt.Fprintf(out, "secret/%s created%s with the identities %s\n", er.Name, suffix, strings.Join(names, ", "))
		}
		_, err := fmt.Fprintf(out, "erasurerequest/%s created%s\n", er.Name, suffix)
		return err
	})
}
