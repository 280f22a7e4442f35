package plugin

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/lethe-dev/lethe/internal/explain"
)

func (s *session) newExplainCommand() *cobra.Command {
	var o output
	var f endpointFlags
	var ask struct {
		Subject string   `json:"subject,omitempty"`
		Entity  string   `json:"entity,omitempty"`
		Key     []string `json:"key,omitempty"`
	}
	cmd := &cobra.Command{
		Use:   "explain (--subject ID | --entity MAP/ENTITY --key VALUE)",
		Short: "Tell why records are still here and when they go",
		Long: `Tell of the records of a person, or of one record, when they go if nothing changes, and what decides it: a rule, a statutory hold, a
LegalHold, an active process, a condition, or that no rule is about them. The operator reads the stores and answers at its own endpoint, so that you
need no credentials of a store; that you asked is on record.

It needs get on explanations.privacy.lethe.dev in the namespace. The answer has keys of records, which are personal data: it is for this
terminal alone.`,
		Example: `  kubectl lethe explain --subject app-000202
  kubectl lethe explain --entity hiring/documents --key 42 -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case (ask.Subject == "") == (ask.Entity == ""):
				return errors.New("give either --subject, or --entity with --key")
			case (ask.Entity == "") != (len(ask.Key) == 0):
				return errors.New("--entity and --key belong together")
			}
			c, namespace, err := s.connect()
			if err != nil {
				return err
			}
			e, err := s.endpoint(cmd.Context(), c, namespace, &f)
			if err != nil {
				return err
			}
			defer e.close()
			body, err := json.Marshal(ask)
			if err != nil {
				return err
			}
			resp, err := e.do(cmd.Context(), http.MethodPost, "/explanations/"+namespace, nil, bytes.NewReader(body))
			if err != nil {
				return err
			}
			defer func() { _ = resp.Body.Close() }()
			var report explain.Report
			if err := json.NewDecoder(resp.Body).Decode(&report); err != nil {
				return errors.New("the operator's answer cannot be read; it may be of another version than this plugin")
			}
			return o.write(s.Streams.Out, &report, report.Text)
		},
	}
	o.register(cmd)
	f.register(cmd)
	flags := cmd.Flags()
	flags.StringVar(&ask.Subject, "subject", "", "id of the person, as an ErasureRequest has it in spec.subject.id")
	flags.StringVar(&ask.Entity, "entity", "", "entity of one record, as MAP/ENTITY")
	flags.StringArrayVar(&ask.Key, "key", nil, "key of that record; of a key with several columns once for each, in the order of the map")
	return cmd
}
