package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/lethe-dev/lethe/internal/backend"
	"github.com/lethe-dev/lethe/internal/cli"
	"github.com/lethe-dev/lethe/internal/fault"
	"github.com/lethe-dev/lethe/internal/mapgen"
	"github.com/lethe-dev/lethe/internal/stores"
)

func newGenerateMapCommand() *cobra.Command {
	var f storeFlags
	in := mapgen.Input{}
	cmd := &cobra.Command{
		Use:   "generate-map --kind postgresql --host HOST --database NAME --user USER --root TABLE",
		Short: "Write a first PersonalDataMap from a database's schema; it reads no rows and changes nothing",
		Example: `  LETHE_STORE_PASSWORD=... lethe generate-map --kind postgresql --host db.example.org --database ats --user reader --root applicants > map.yaml
  lethe generate-map --kind sqlite --sqlite-file ats.db --root applicants > map.yaml`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			out, err := generateMap(cmd, &f, in)
			if err != nil {
				return &cli.ExitError{Code: 2, Err: err}
			}
			_, err = cmd.OutOrStdout().Write(out)
			return err
		},
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &cli.ExitError{Code: 2, Err: err} })
	f.register(cmd.Flags())
	flags := cmd.Flags()
	flags.StringVar(&in.Root, "root", "", "table whose rows are the subjects")
	flags.StringVar(&in.RootID, "root-id", "", "column of the root that requests name as subject.id; by default the primary key")
	flags.StringVar(&in.Name, "name", "", "name of the map; by default that of the store")
	flags.StringVar(&in.Namespace, "namespace", "", "namespace of the map")
	return cmd
}

func generateMap(cmd *cobra.Command, f *storeFlags, in mapgen.Input) ([]byte, error) {
	ctx := cmd.Context()
	o, err := f.open()
	if err != nil {
		return nil, err
	}
	defer func() { _ = o.pool.Close() }()
	if in.Store = o.only; in.Store == "" {
		in.Store = f.name
	}
	if in.Store == "" {
		return nil, errors.New("name one of the DataStores with --store")
	}
	store, err := o.get(ctx, in.Store)
	if err != nil {
		return nil, public(err)
	}
	if store == nil {
		return nil, fmt.Errorf("the manifests have no DataStore %s", in.Store)
	}
	inspector, ok := store.Backend.(backend.Inspector)
	if !ok {
		return nil, fmt.Errorf("DataStore %s has no tables", in.Store)
	}
	if in.Schema, err = stores.InspectAll(ctx, inspector, nil); err != nil {
		return nil, public(fault.FromStore(in.Store, err))
	}
	if in.DefaultSchema = store.DefaultSchema; in.Name == "" {
		in.Name = in.Store
	}
	return mapgen.Generate(in)
}

// public is what may be shown of an error of a store.
func public(err error) error {
	reason, message := fault.Public(err)
	return errors.New(reason + ": " + message)
}
