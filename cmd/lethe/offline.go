package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/go-logr/logr"
	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/cmd/lethe/wiring"
	"github.com/lethe-dev/lethe/internal/mapcheck"
	"github.com/lethe-dev/lethe/internal/stores"
)

const (
	passwordEnv = "LETHE_STORE_PASSWORD"
	// offlineNamespace holds the objects of a command that runs without a cluster.
	offlineNamespace = "offline"
	flagSecret       = "command-line"
)

// storeFlags say which stores a command opens, without a cluster: one by flags of its own, or several by manifests.
type storeFlags struct {
	name, kind, host, database, schema, user, passwordFile, sslMode, caFile, sqliteFile string
	port                                                                                int32

	manifests              []string
	credentials, localRoot string
}

func (f *storeFlags) register(flags *pflag.FlagSet) {
	flags.StringVar(&f.name, "store", "", "name of the DataStore that the map names; by default the database's or file's name")
	flags.StringVar(&f.kind, "kind", "", "kind of the database: postgresql, mysql or sqlite")
	flags.StringVar(&f.host, "host", "", "host of the database server")
	flags.Int32Var(&f.port, "port", 0, "port of the server; by default that of the kind")
	flags.StringVar(&f.database, "database", "", "name of the database")
	flags.StringVar(&f.schema, "schema", "public", "schema of the tables (postgresql)")
	flags.StringVar(&f.user, "user", "", "user of the database; reading the catalogue is enough")
	flags.StringVar(&f.passwordFile, "password-file", "", "file with the password; by default the environment variable "+passwordEnv)
	flags.StringVar(&f.sslMode, "sslmode", "verify-full", "disable, require, verify-ca or verify-full")
	flags.StringVar(&f.caFile, "ca-file", "", "certificate authority of the server, in PEM")
	flags.StringVar(&f.sqliteFile, "sqlite-file", "", "database file (sqlite)")
	flags.StringArrayVar(&f.manifests, "store-file", nil, "manifest with DataStores instead of the flags above; may be repeated")
	flags.StringVar(&f.credentials, "credentials-dir", "", "folder with a folder for each Secret that a DataStore names, with a file for each key")
	flags.StringVar(&f.localRoot, "local-root", "", "folder in which DataStores of kind sqlite and filesystem are")
}

// offline opens the stores that flags describe.
type offline struct {
	pool   *stores.Pool
	stores map[string]*v1alpha1.DataStore
	// only is the store of the flags; empty with manifests.
	only string
}

func (f *storeFlags) open() (*offline, error) {
	objects := offlineObjects{stores: map[string]*v1alpha1.DataStore{}, secrets: map[string]*corev1.Secret{}, credentials: f.credentials}
	o := &offline{stores: objects.stores}
	root := f.localRoot
	switch {
	case len(f.manifests) > 0 && f.kind != "":
		return nil, errors.New("give either --store-file or --kind with its flags")
	case len(f.manifests) > 0:
		if err := objects.read(f.manifests); err != nil {
			return nil, err
		}
	default:
		ds, err := f.dataStore(&objects)
		if err != nil {
			return nil, err
		}
		if ds.Spec.SQLite != nil {
			if root, err = filepath.Abs(filepath.Dir(f.sqliteFile)); err != nil {
				return nil, err
			}
		}
		objects.stores[ds.Name], o.only = ds, ds.Name
	}
	roots := map[string]string{}
	if root != "" {
		real, err := filepath.Abs(root)
		if err != nil {
			return nil, err
		}
		roots[offlineNamespace] = real
	}
	o.pool = stores.NewPool(objects, objects, wiring.Openers(), roots, clock.RealClock{}, logr.Discard())
	return o, nil
}

// get opens a store; nil if it was not given.
func (o *offline) get(ctx context.Context, name string) (*stores.Store, error) {
	if o.stores[name] == nil {
		return nil, nil
	}
	return o.pool.Get(ctx, offlineNamespace, name)
}

// dataStore makes a DataStore of the flags.
func (f *storeFlags) dataStore(objects *offlineObjects) (*v1alpha1.DataStore, error) {
	ds := &v1alpha1.DataStore{ObjectMeta: metav1.ObjectMeta{Name: f.name, Namespace: offlineNamespace}}
	if f.kind == "sqlite" {
		if f.sqliteFile == "" {
			return nil, errors.New("--kind sqlite needs --sqlite-file")
		}
		base := filepath.Base(f.sqliteFile)
		ds.Spec.SQLite = &v1alpha1.SQLiteStore{Path: base}
		if ds.Name == "" {
			ds.Name = strings.TrimSuffix(base, filepath.Ext(base))
		}
		return ds, nil
	}
	if f.kind != "postgresql" && f.kind != "mysql" {
		return nil, errors.New("--kind must be postgresql, mysql or sqlite; or give --store-file")
	}
	if f.host == "" || f.database == "" || f.user == "" {
		return nil, fmt.Errorf("--kind %s needs --host, --database and --user", f.kind)
	}
	if ds.Name == "" {
		ds.Name = f.database
	}
	secret, err := f.secret()
	if err != nil {
		return nil, err
	}
	objects.secrets[flagSecret] = secret
	ref := v1alpha1.LocalReference{Name: flagSecret}
	if f.kind == "mysql" {
		ds.Spec.MySQL = &v1alpha1.MySQLStore{Host: f.host, Port: f.port, Database: f.database, SSLMode: v1alpha1.SSLMode(f.sslMode), CredentialsSecretRef: ref}
	} else {
		ds.Spec.PostgreSQL = &v1alpha1.PostgreSQLStore{Host: f.host, Port: f.port, Database: f.database, Schema: f.schema, SSLMode: v1alpha1.SSLMode(f.sslMode), CredentialsSecretRef: ref}
	}
	withDefaults(ds)
	return ds, nil
}

func (f *storeFlags) secret() (*corev1.Secret, error) {
	data := map[string][]byte{"username": []byte(f.user), "password": []byte(os.Getenv(passwordEnv))}
	if f.passwordFile != "" {
		text, err := os.ReadFile(f.passwordFile)
		if err != nil {
			return nil, errors.New("--password-file cannot be read")
		}
		data["password"] = []byte(strings.TrimRight(string(text), "\r\n"))
	}
	if len(data["password"]) == 0 {
		return nil, fmt.Errorf("give the password in the environment variable %s or with --password-file", passwordEnv)
	}
	if f.caFile != "" {
		text, err := os.ReadFile(f.caFile)
		if err != nil {
			return nil, errors.New("--ca-file cannot be read")
		}
		data["ca.crt"] = text
	}
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: flagSecret, Namespace: offlineNamespace, UID: flagSecret}, Data: data}, nil
}

// withDefaults sets what the API server would.
func withDefaults(ds *v1alpha1.DataStore) {
	if p := ds.Spec.PostgreSQL; p != nil {
		if p.Port == 0 {
			p.Port = 5432
		}
		if p.Schema == "" {
			p.Schema = "public"
		}
	}
	if m := ds.Spec.MySQL; m != nil && m.Port == 0 {
		m.Port = 3306
	}
}

// offlineObjects are the DataStores and Secrets of a command without a cluster.
type offlineObjects struct {
	stores      map[string]*v1alpha1.DataStore
	secrets     map[string]*corev1.Secret
	credentials string
}

// read takes in the DataStores of manifests; other kinds are left alone.
func (o offlineObjects) read(files []string) error {
	documents, err := readDocuments(files)
	if err != nil {
		return err
	}
	for _, d := range documents {
		if d.Kind != mapcheck.KindDataStore {
			continue
		}
		problems, err := mapcheck.Schema(d)
		if err != nil {
			return err
		}
		if len(problems) > 0 {
			return fmt.Errorf("DataStore %s: %s", d.Metadata.Name, strings.Join(problems, "; "))
		}
		var ds v1alpha1.DataStore
		if err := mapcheck.Decode(d, &ds); err != nil {
			return err
		}
		ds.Namespace = offlineNamespace
		withDefaults(&ds)
		o.stores[ds.Name] = &ds
	}
	if len(o.stores) == 0 {
		return errors.New("--store-file: there is no DataStore in it")
	}
	return nil
}

func readDocuments(files []string) ([]mapcheck.Document, error) {
	var all []mapcheck.Document
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		documents, err := mapcheck.Split(data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		all = append(all, documents...)
	}
	return all, nil
}

// Get implements client.Reader.
func (o offlineObjects) Get(_ context.Context, key client.ObjectKey, obj client.Object, _ ...client.GetOption) error {
	switch out := obj.(type) {
	case *v1alpha1.DataStore:
		if ds := o.stores[key.Name]; ds != nil {
			ds.DeepCopyInto(out)
			return nil
		}
	case *corev1.Secret:
		secret, err := o.secret(key.Name)
		if err != nil || secret != nil {
			if secret != nil {
				secret.DeepCopyInto(out)
			}
			return err
		}
	}
	return apierrors.NewNotFound(schema.GroupResource{Resource: "object"}, key.Name)
}

// secret reads a folder of files as Kubernetes mounts a Secret.
func (o offlineObjects) secret(name string) (*corev1.Secret, error) {
	if s := o.secrets[name]; s != nil || o.credentials == "" || name != filepath.Base(name) {
		return s, nil
	}
	folder := filepath.Join(o.credentials, name)
	files, err := os.ReadDir(folder)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, errors.New("the folder of Secret " + name + " cannot be read")
	}
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: offlineNamespace}, Data: map[string][]byte{}}
	for _, f := range files {
		if strings.HasPrefix(f.Name(), ".") || f.IsDir() {
			continue
		}
		data, err := os.ReadFile(filepath.Join(folder, f.Name()))
		if err != nil {
			return nil, errors.New("the key " + f.Name() + " of Secret " + name + " cannot be read")
		}
		s.Data[f.Name()] = []byte(strings.TrimRight(string(data), "\r\n"))
	}
	return s, nil
}

// List implements client.Reader; nothing of a pool lists.
func (offlineObjects) List(context.Context, client.ObjectList, ...client.ListOption) error {
	return errors.New("there is no cluster to list objects of")
}
